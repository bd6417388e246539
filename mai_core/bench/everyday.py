"""Everyday prompts, written for this project: what people ask that is no question of a field.

Examination questions alone would teach that everything is one. These stand for all the rest.
"""

from __future__ import annotations

__all__ = ["EVERYDAY"]

EVERYDAY = tuple(
    line.strip()
    for line in """
hi
hello there, how are you doing today?
good morning! did you sleep well?
thanks a lot, that was really helpful
ok, sounds good to me
no, that's not what I meant, please try again
can you say that again in other words?
what do you think about that?
I feel sad today because my dog died. What should I do?
I had a terrible day at work and I just want to talk to someone
my girlfriend broke up with me last night and I can't sleep
what should I cook for dinner tonight? I have rice, chicken and some vegetables
can you recommend a good movie for a rainy evening with the kids?
tell me a joke about cats
what's your favourite song?
do you ever get bored?
are you a real person?
what can you do for me?
who made you?
let's play a game, you start
I'm planning a birthday party for my mother, any ideas for presents?
what shall we do this weekend, it is going to rain
please help me choose a name for our new puppy
give me ten ideas for a team event with my colleagues
how do I tell my boss that I want to leave?
how can I get my son to tidy up his room?
I can't decide between the blue and the green sofa, help me
what would be a nice place for holidays in June with small children?
my neighbour is too loud every night, what can I do about it?
remind me why we said we would go to Italy
I'm nervous about my interview tomorrow, can you calm me down?
how do I get red wine out of a white shirt?
how do I make pancakes without eggs?
what goes well with salmon?
how long do I boil an egg?
can you help me plan my week? I have too much to do
I need a workout for at home without any equipment
which phone should I buy if I mostly take pictures?
my phone will not charge any more, what can I try?
my wifi is slow in the bedroom, what could help?
how do I get rid of ants in my kitchen?
please be shorter next time
could you make it friendlier?
continue
go on please
why?
and then?
what did I ask you before?
what was the first thing I told you today?
do you remember the name of my sister?
forget what I said about the garden
call me Anna from now on
you are wrong, it was on Tuesday
let us talk about something else
I love this song so much, it makes me happy
guess what happened to me today
we went to the beach and the kids had so much fun
it's snowing here, I love it
do you like football?
what is the best pizza topping?
good night, see you tomorrow
write a poem about the sea
write a short story about a dragon who is afraid of fire
write an email to my landlord about the broken heating
write a polite reply that I can't come to the meeting on Friday
write a thank you note to my grandmother for the sweater
draft a speech for my brother's wedding
rewrite this so that it sounds friendlier: I will not be there tomorrow
make this sentence shorter: we would like to let you know that we are going to be closed
correct my spelling: i has went too the shop yesturday
translate this to Spanish: where is the train station?
translate into German: I would like to have breakfast in my room
how do you say good luck in Japanese?
summarise the text below in two sentences
give me the key points of this article
what is this text about?
make a list of all the names in this text
put these dates into a table
which of these emails are urgent?
find the phone numbers in the text
sort this list by name
turn these notes into a letter
what is the weather like today?
search the web for the opening hours of the museum
open the file with my notes and read it to me
set an alarm for seven
what time is it?
add milk and bread to my shopping list
send a message to Tom that I'll be late
play some music
please write a caption for a picture of my cat on the sofa
give me a slogan for my small bakery
I want to learn to play the guitar, where do I start?
how can I fall asleep faster?
what do I wear to a summer wedding?
is it rude to leave a party early?
should I text him first or wait?
my best friend forgot my birthday and I'm hurt
I won the race yesterday!
can we practise small talk in English?
pretend that you are a pirate
tell my daughter a bedtime story with a rabbit in it
what would you do if you were me?
I think I'll take the second one
that is funny
never mind
never heard of that, tell me more
how did you get that?
are you sure about that?
please answer in one word
hallo, wie geht es dir?
danke, das hat mir sehr geholfen
was soll ich heute kochen? ich habe noch reis und gemüse
schreib mir bitte eine mail an meinen vermieter
übersetze das bitte ins englische
fasse den text kurz zusammen
mir ist langweilig, erzähl mir etwas
bonjour, comment ça va ?
merci beaucoup, c'est très gentil
qu'est-ce que je peux faire ce soir avec les enfants ?
écris une lettre à ma grand-mère
hola, ¿qué tal?
gracias, muy amable
¿qué puedo cocinar hoy con arroz y pollo?
escribe un poema sobre el mar
你好
谢谢你的帮助
今天晚上吃什么好?
帮我写一封邮件
""".splitlines()
    if line.strip()
)
