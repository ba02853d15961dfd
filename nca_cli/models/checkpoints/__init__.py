"""Checkpoints as researchers publish them: `adm:ffhq_p2.pt`, `ldm:ffhq256/model.ckpt`.

A checkpoint says nothing about its network. A TOML of the same name beside it does, by the flags
of the program that trained it; without one, the best known model of that program is meant. The
first time its weights are needed it is converted into a diffusers pipeline in the user's cache
folder, under a key of its bytes and its configuration, from which it is loaded like any other
model. Finding one loads no torch.
"""
