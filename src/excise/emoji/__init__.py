"""The small emoji world and the training of the models that ship with Excise."""
