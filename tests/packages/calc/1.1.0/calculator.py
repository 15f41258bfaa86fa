"""Evaluates what a pocket calculator can: numbers, + - * /, per cent, parentheses."""

import ast
import operator
import re
from decimal import Decimal, DecimalException, localcontext

LONGEST = 100
ALLOWED = re.compile(r"[0-9.+\-*/()% ]+")
PER_CENT = re.compile(r"([0-9.]+) *%")
SIGNS = str.maketrans("×÷−", "*/-")
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


class CannotCalculate(Exception):
    """Says in a sentence what is wrong with the calculation."""


def calculate(expression: str) -> str:
    text = expression.translate(SIGNS).strip()
    if len(text) > LONGEST:
        raise CannotCalculate(f"The calculation is longer than {LONGEST} characters.")
    if not ALLOWED.fullmatch(text):
        raise CannotCalculate("A calculation has digits, + − × ÷ % and parentheses only.")
    try:
        with localcontext(prec=12):
            result = value(ast.parse(PER_CENT.sub(r"(\1/100)", text), mode="eval").body)
            return f"{result.normalize():f}" if abs(result.adjusted()) < 15 else str(result)
    except ZeroDivisionError:
        raise CannotCalculate("Nothing can be divided by zero.") from None
    except (SyntaxError, KeyError, DecimalException):
        raise CannotCalculate("The calculation is not complete.") from None


def value(node: ast.AST) -> Decimal:
    if isinstance(node, ast.Constant):
        return +Decimal(str(node.value))
    if isinstance(node, ast.UnaryOp):
        return OPERATORS[type(node.op)](value(node.operand))
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](value(node.left), value(node.right))
    raise CannotCalculate("The calculation is not complete.")
