"""Exact arithmetic from words: fractions inside, a whitelist of operations, no eval."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from fractions import Fraction

from agentroute.model.calls import AgentCall, AgentReply

WORDS = (
    (
        r"(?i)^\s*(?:what(?:'s| is)?|how much is|calculate|compute|work out)\b(?: the\b)?",
        " ",
    ),
    (r"(?i)([\d.]+)\s*(?:%|percent|per cent)\s+of\b", r" \1/100* "),
    (r"(?i)\bsquare root of\b\s*([\d.]+)", r" sqrt(\1) "),
    (r"(?i)\b(?:multiplied by|times)\b|[×·]", "*"),
    (r"(?i)\b(?:divided by|over)\b|÷", "/"),
    (r"(?i)\bplus\b", "+"),
    (r"(?i)\bminus\b|−", "-"),
    (r"(?i)\bto the power of\b|\^", "**"),
    (r"(?i)\bsquared\b", "**2"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
    (r"[?=]|\.\s*$", " "),
)
OPERATORS: dict[type[ast.AST], Callable[..., Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
BIG = 4_000


def agent(call: AgentCall) -> AgentReply:
    """The value of the expression in the prompt; abstains where there is none."""
    text = call.task.prompt
    if len(text) > 500:
        return unknown("the question is too long for a sum")
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    try:
        tree = ast.parse(text.strip(), mode="eval")
        if not any(isinstance(n, (ast.BinOp, ast.Call)) for n in ast.walk(tree)):
            return unknown("there is nothing to calculate")
        value = evaluate(tree.body)
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError):
        return unknown("this is no expression that I know")
    except (ZeroDivisionError, OverflowError) as e:
        return unknown(str(e) or "the number is too large")
    said = number_text(value)
    data = {"answer": said, "value": float(value) if abs(value) < 10**300 else None}
    data |= {"exact": str(value), "expression": ast.unparse(tree), "confidence": 1.0}
    return AgentReply(text=said, data=data, confidence=1.0)


def evaluate(node: ast.AST) -> Fraction:
    """A number, an operation on numbers, or sqrt; anything else is a KeyError."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return Fraction(repr(node.value)) if isinstance(node.value, float) else Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](evaluate(node.operand))
    if isinstance(node, ast.BinOp):
        a, b = evaluate(node.left), evaluate(node.right)
        if isinstance(node.op, ast.Pow):
            return power(a, b)
        return OPERATORS[type(node.op)](a, b)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "sqrt":
        return root(evaluate(node.args[0]))
    raise KeyError(type(node).__name__)


def power(a: Fraction, b: Fraction) -> Fraction:
    """Whole powers of a size that can be written down."""
    if b.denominator != 1:
        raise ValueError("only whole powers")
    size = max(abs(a.numerator), a.denominator).bit_length() * abs(b.numerator)
    if size > BIG:
        raise OverflowError("the number is too large")
    return Fraction(a ** int(b))


def root(x: Fraction) -> Fraction:
    """Exact where it is rational, else to double precision."""
    if x < 0:
        raise ValueError("no root of a negative number")
    top, bottom = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if top * top == x.numerator and bottom * bottom == x.denominator:
        return Fraction(top, bottom)
    return Fraction(math.sqrt(x))


def number_text(value: Fraction) -> str:
    """Whole numbers and short decimals in full, others to twelve digits."""
    if value.denominator == 1:
        return str(value.numerator)
    text = f"{float(value):.12g}"
    return (
        text if Fraction(text) == value else f"{text} (= {value})" if len(str(value)) < 24 else text
    )


def unknown(why: str) -> AgentReply:
    """An abstention."""
    return AgentReply(text=f"I do not know: {why}.", abstained=True, confidence=0.0)
