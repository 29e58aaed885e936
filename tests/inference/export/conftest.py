import logging

# Torch tells this logger of every operation that it traces; pytest would keep it all.
logging.getLogger("torch.__trace").propagate = False
