from aetutor.assignments.checks import test_case

OK_FORMAT = False

name = "q2"
points = None

@test_case(points=0.5, hidden=False, 
    failure_message="For σ(x) = x the kernel is the correlation itself. Chapter 3, 'The kernel': https://aetutor.github.io/aetutor/book/model/kernels.html#the-kernel")
def test_pairs_of_the_identity(pair_average):
    from aetutor.assignments import checks
    same = checks.function('lambda x: x')
    for rho in (1.0, 0.5):
        checks.close(pair_average(same, rho, 1), rho, f'pair_average(identity, {rho}, 1)', atol=0.02)

@test_case(points=0.5, hidden=False, 
    failure_message="x³ has the coefficients 0, 3, 0, √6, so its kernel is 9ρ + 6ρ³. Chapter 3, 'The kernel': https://aetutor.github.io/aetutor/book/model/kernels.html#the-kernel")
def test_kernel_of_the_cube(kernel):
    import numpy as np
    from aetutor.assignments import checks
    cube = np.array([0.0, 3.0, 0.0, np.sqrt(6)])
    checks.close(kernel(cube, 0.5), 5.25, 'kernel([0, 3, 0, √6], 0.5)')
    checks.close(kernel(cube, np.array([0.0, -1.0])), [0, -15], 'kernel([0, 3, 0, √6], [0, -1])')
