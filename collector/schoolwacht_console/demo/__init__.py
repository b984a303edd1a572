"""``schoolwacht demo``: the whole line on one machine, several schools' agents playing recorded traffic as live.

The schools and their captures come from a small manifest, ``demo.toml``, in the directory of the captures::

    indicators = ["indicators.csv"]     # what the CERT knows as bad, for the collector; may be empty

    [[board]]
    id = "41001"                        # bestuursnummer
    name = "Stichting Voorbeeldonderwijs"

    [[school]]
    location = "00AA00"                 # vestiging: two digits, two capitals, two digits
    name = "De Vuurtoren"
    board = "41001"                     # the id of a [[board]]
    home = ["10.21.0.0/16"]             # the school's own networks
    captures = ["web.pcap", "scan.pcap"]  # played by this school's agent, one after the other

Paths are relative to the manifest. Every name in it is made up. :mod:`.scenario` reads it, :mod:`.play` runs it,
:mod:`.receiver` stands in for the CERT, :mod:`.display` shows the line at work.
"""
