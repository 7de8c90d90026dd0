from configs import adamine


def loss_config(**fields):
    """Returns the base configuration's `loss` section with changed fields."""
    config = adamine.get_config().loss
    config.update(fields)
    return config
