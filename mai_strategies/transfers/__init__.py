"""Context transfers: how a conversation survives a window that is smaller than it.

full      everything; the oldest messages go when it does not fit
recent    pinned messages and the longest run of recent ones
hybrid    recent messages whole, explicit requests kept, the middle thinned, the rest as a summary
relevance recent messages whole, and from the whole conversation what has to do with the question

stepwise      one step down, then append only                    recall     what a later question brings back
compression   that step, from trigger to target                  room       where trigger and target are
hits          what has to do with a question                     bm25       how much
digest        a summary the loaded model writes when idle
prompt        one valid prompt out of what a transfer chose      cut        what does not fit at all
requests      what a person asked for, and took back             cues       the phrases that give it away
standing      what of it still holds, and how it fits
summarise     the sentences worth keeping                        text       sentences and words
notes         the text that stands for what is not sent          receipt    what became of every message
"""
