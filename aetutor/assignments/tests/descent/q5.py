from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q5"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="Not within 5 % after two steps. Try constants first. How large a step the theory calls safe: https://aetutor.github.io/aetutor/book/gradient-methods/spectrum.html#it-always-flattens")
def test_race_within_5_percent(race):
    import numpy as np
    from aetutor import descent, encoders, risk
    from aetutor.activations import sign
    from aetutor.assignments import checks
    ends = []
    for B in encoders.gaussian(108, 120, seed=0, batch=6):
        for t in range(2):
            A = risk.optimal_decoder(B, sign)
            eta = checks.array(race(B.numpy(), A.numpy(), t), f'race(B, A, {t})')
            checks.holds(eta.size == 1, f'race(B, A, {t}): expected one number, got shape {eta.shape}')
            B = encoders.normalize(B - float(eta.reshape(())) * descent.gradient(B, sign))
        ends.append(float(risk.minimal(B, sign)) / (1 - 0.9 / (np.pi / 2)) - 1)
    checks.holds(np.mean(ends) <= 0.05, f'the mean of risk / limit − 1 is {np.mean(ends):.4f}, above 0.05')
