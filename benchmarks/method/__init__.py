"""How well the method finds deposits: districts to judge it on, made by people who do not know its formulas."""
