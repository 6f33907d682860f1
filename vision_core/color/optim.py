"""Adam without the import of torch._dynamo."""

import inspect

import torch


class Adam(torch.optim.Adam):
    """`torch.optim.Adam(fused=True)` whose methods do not import torch._dynamo.

    torch's own methods import it to disable compilation, which takes as long as importing torch itself.
    """

    def __init__(self, params, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr, weight_decay=weight_decay, fused=True)

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
