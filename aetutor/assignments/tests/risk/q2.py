from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q2"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="With no activation the risk is the squared norm of I - AB, by d. See 'Setting': https://aetutor.github.io/aetutor/book/model/population-risk.html#setting")
def test_risk_linear(population_risk):
    import numpy as np
    from aetutor.assignments import checks
    A = np.array([[1.0, 2.0], [0.0, 1.0], [0.0, 0.0]])
    B = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    got = population_risk(A, B, 1.0, checks.function('lambda rho: 1.0 * rho'))
    what = 'population_risk(A, B, 1, f) with f(rho) = rho, A = [[1, 2], [0, 1], [0, 0]]'
    checks.close(got, 1.8, what + ', B = [[1, 0, 0], [0.6, 0.8, 0]]')

@test_case(points=0.5, hidden=False, 
    failure_message="F is 1 on the diagonal and 1/3 off it. See 'The quadratic term': https://aetutor.github.io/aetutor/book/model/population-risk.html#the-quadratic-term")
def test_risk_two_bits(population_risk):
    import numpy as np
    from aetutor.assignments import checks
    B = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    c1 = (2 / np.pi) ** 0.5
    arcsine = checks.function('lambda rho: 2 / np.pi * np.arcsin(np.clip(rho, -1, 1))')
    got = population_risk(B.T.copy(), B, c1, arcsine)
    what = 'population_risk(A, B, c1, f) for two bits at 60 degrees, A = B transposed'
    checks.close(got, 1 - 2 * c1 + 7 / 6, what)
