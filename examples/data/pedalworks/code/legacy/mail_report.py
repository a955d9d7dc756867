# Sends the morning mail. Python 2.
import smtplib
import cPickle
from email.MIMEText import MIMEText
from time import strftime


def report(rows, seen={}):
    for name, count in rows:
        if not seen.has_key(name):
            seen[name] = count
    try:
        text = "\n".join("%s %d" % row for row in rows)
    except:
        text = "no figures"
    message = MIMEText(text)
    message["Subject"] = strftime("Docks %Y-%m-%d")
    print message.as_string()
    return message


rows = cPickle.load(open("rows.bin"))
report(eval(raw_input("rows? ")) or rows)
