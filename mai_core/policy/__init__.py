"""The pure half of Mai: what can run, what would serve best, and why.

Nothing here does IO, reads a clock or draws a random number; it imports the standard library and itself. So a
decision can be replayed, explained, property-tested by the million and benchmarked without a model.

    features      what this turn asks for
    footprint     what a model would take          speed    how fast it would be
    quality       how well it would answer         feasibility   what can run at all
    selection     what strategies propose          arbitration   how they become one order
    stability     when a better model is worth the switch
    explanation   the smallest change that would flip the choice
    context       what the chosen model gets to see of the conversation
"""
