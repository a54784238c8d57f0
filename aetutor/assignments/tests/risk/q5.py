from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q5"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="With the decoder 0 the error is |x|²/d, of mean 1 and variance 2/d. See the first figure of 'The population risk': https://aetutor.github.io/aetutor/book/model/population-risk.html")
def test_monte_carlo_decoder_zero(monte_carlo):
    import numpy as np
    from aetutor.assignments import checks
    sign = checks.function('lambda x: np.where(x < 0, -1.0, 1.0)')
    got = monte_carlo(np.zeros((3, 2)), np.eye(2, 3), sign, 3000, 1)
    got = checks.array(got, 'monte_carlo(0, B, sigma, 3000, 1), mean and standard error', (2,))
    error = np.sqrt(2 / 9000)
    what = 'monte_carlo(0, B, sigma, 3000, 1) with d = 3'
    checks.holds(abs(got[0] - 1) < 6 * error, f'{what}: expected a mean near 1, got {got[0]:.5f}')
    message = f'{what}: expected a standard error near {error:.5f}, got {got[1]:.5f}'
    checks.holds(abs(got[1] / error - 1) < 0.15, message)
