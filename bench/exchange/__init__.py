"""Results from and for other people: their curves read, a run written in their formats, a run's bundle verified.

formats       what other tools write (CompressAI's JSON, codec-compare's JSON, CSV): read into :class:`curves.Curves`
per_image     rows of single images averaged into curves
imported      such curves kept in the user's folder, from where figures and pages take them as `claimed`
written       a run or a published curve as CompressAI's JSON and as CSV
spreadsheet   two codecs in the layout of JVET's common test conditions
bundle        a run's records, bitstreams, hashes and environment in one zip file
verify        decodes a bundle's bitstreams and compares everything with its records
explain       which known cause makes somebody's curve differ from ours (causes, gap, pixels are its parts)
"""
