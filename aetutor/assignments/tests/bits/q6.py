from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q6"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="See chapter 1, 'The machine' and 'And back': https://aetutor.github.io/aetutor/book/model/compressing-with-signs.html#the-machine")
def test_q6_by_hand(fit_decoder, autoencoder_distortion):
    import numpy as np
    from aetutor.assignments import checks
    B = np.eye(2)
    X = np.array([[1.0, 2.0], [-3.0, 6.0]])
    A = np.array([[2.0, -1.0], [-2.0, 4.0]])
    what = 'fit_decoder([[1, 0], [0, 1]], [[1, 2], [-3, 6]])'
    checks.close(fit_decoder(B, X), A, what, atol=1e-05)
    what = 'autoencoder_distortion of that exact decoder, on the same samples'
    checks.close(autoencoder_distortion(A, B, X), 0.0, what)
    what = 'autoencoder_distortion(A, B, [[3, 0]]) with A = B = [[1, 0], [0, 1]]'
    checks.close(autoencoder_distortion(B, B, np.array([[3.0, 0.0]])), 2.5, what)
