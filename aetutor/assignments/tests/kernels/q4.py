from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q4"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="If all bits agree the cosine is 1; if 4 of 6 agree the average product is 1/3, and the angle is 60 degrees. Chapter 3, 'The arcsine law': https://aetutor.github.io/aetutor/book/model/kernels.html#the-arcsine-law")
def test_six_bits(similarity):
    import numpy as np
    from aetutor.assignments import checks
    s = np.array([1, -1, 1, 1, -1, 1], dtype=np.int8)
    checks.close(similarity(s, s), 1, 'similarity(s, s)')
    t = np.array([1, -1, 1, 1, 1, -1], dtype=np.int8)
    checks.close(similarity(s, t), 0.5, 'similarity(s, t), 4 of 6 bits agree')
