from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="For one row F is the number f(1). See 'The best decoder': https://aetutor.github.io/aetutor/book/model/population-risk.html#the-best-decoder")
def test_decoder_one_row(best_decoder):
    import numpy as np
    from aetutor.assignments import checks
    got = best_decoder(np.array([[0.6, 0.8]]), 0.5, np.array([[0.5]]))
    checks.holds(got is not None and got is not ..., 'best_decoder(...): there is no answer yet')
    what = 'for B = [[0.6, 0.8]], c1 = 0.5, F = [[0.5]]'
    checks.close(got[0], [[0.6], [0.8]], f'decoder {what}')
    checks.close(got[1], 0.75, f'risk {what}')
