"""Where the agent stands: at the gateway of one school, or on a path that carries many (the national exchange point).

Either way the step ``place`` says of every event which way it goes and whose it is: ``network.direction``,
``school.zone`` and, where one sensor speaks for many schools, ``school.location``. Adapters are in ``gateway.py`` and
``ndc.py``; ``open.py`` has the table of them. This module imports nothing, because the settings of the agent take
``settings.py`` from here.
"""
