"""What `offbus init` writes, apart from its options (offbus_steps.commands.init): the scenario and its manifest.

    recipes       what there is to choose from; cheap to import, for help and completion
    choice        what an option or an answer may be, with a suggestion
    questions     asks on a terminal for what no option says
    drill         from what was asked for to what is written, or a UsageError that says what is allowed
    existing      `--from`: looks at a workload, and takes of it what identifies it and how many replicas it has
    render        the texts, from templates/
    new_files     all of the files, or none

Nothing is written before everything is known, so whatever fails before leaves nothing. Of a workload that runs no value
of its spec is copied, an image, a command or a variable least of all: the scenario names it (`existing:`).
"""
