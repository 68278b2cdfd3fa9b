"""Lower-case word lists for the rules that read prompts: what a tag or a noun is about."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(part.strip() for line in text.splitlines() for part in line.split(",") if part.strip())


BOILERPLATE = _words("""
masterpiece, best quality, high quality, highest quality, good quality, normal quality, top quality, amazing quality,
ultra quality, masterpiece quality, highres, absurdres, incredibly absurdres, high resolution, ultra high res,
ultra highres, high res, super high resolution, hires, 4k, 8k, 16k, 2k, hd, uhd, 4k uhd, 8k uhd, uhd 4k, hdr,
ultra hd, full hd, dslr, raw photo, 8k wallpaper, 4k wallpaper, wallpaper, ultra detailed, highly detailed,
extremely detailed, hyper detailed, hyperdetailed, very detailed, detailed, intricate details, intricate,
intricate detail, insanely detailed, insane details, finely detailed, fine details, high detail, high details,
max details, best details, extremely detailed cg unity 8k wallpaper, unity 8k wallpaper, extremely detailed cg, cg,
unity, official art, best illustration, illustration, beautiful, beautiful and aesthetic, perfect,
perfect composition, professional, award winning, award-winning, award winning photography, amazing,
trending on artstation, trending on cgsociety, artstation, deviantart, pixiv, octane render, unreal engine,
unreal engine 5, render, sharp focus, sharp, in focus, depth of field, bokeh, blurry, blurry background, film grain,
lens flare, bloom, chromatic aberration, noise, soft lighting, cinematic lighting, dramatic lighting,
perfect lighting, studio lighting, volumetric lighting, volumetric light, natural lighting, professional lighting,
beautiful lighting, best lighting, good lighting, beautifully lit, rim lighting, backlighting, lighting,
cinematic light, best shadow, detailed shadow, ray tracing, realistic, ultra realistic, photorealistic,
photo realism, photorealism, hyperrealistic, realism, detailed background, simple background, white background,
gradient background, grey background, black background, transparent background, detailed face,
beautiful detailed face, extremely detailed face, highly detailed face, perfect face, beautiful face, clear face,
pretty face, detailed eyes, beautiful detailed eyes, perfect eyes, beautiful eyes, detailed skin, perfect features,
perfect body, perfect anatomy, perfect hands, vibrant colors, vivid colors, saturated colors, colorful, vibrant,
good composition, best composition, aesthetic, very aesthetic, elegant, fujifilm xt3, canon, nikon, 35mm, 50mm, 85mm,
photo, photography, cg illustration, wallpaper quality, game cg, newest, solo, solo focus, female focus, male focus,
no humans, rating safe, sfw, safe, signature, watermark, logo, text, artist name, web address, score 9, score 8 up,
score 7 up, score 6 up, source anime, very awa, absurd res, official style, dynamic angle, dynamic lighting, epic
""")

APPEARANCE = _words("""
1girl, 1boy, 1man, 1woman, 1 girl, 1 boy, 1other, 2girls, 2boys, 3girls, 4girls, 5girls, 6+girls, multiple girls,
multiple boys, girl, boy, woman, man, girls, boys, women, men, female, male, lady, young woman, young man,
young girl, young boy, beautiful woman, beautiful girl, cute girl, cute, people, person, old, young, teenage, adult,
mature female, child, kid, couple, crowd, a girl, a woman, a man, pretty, handsome, face, eyes, body, skin,
looking at viewer, look at viewer, looking back, looking away, looking up, looking down, looking afar,
looking to the side, facing viewer, eye contact, smile, smiling, grin, light smile, happy, sad, angry, serious,
expressionless, embarrassed, blush, crying, tears, open mouth, closed mouth, parted lips, teeth, tongue, tongue out,
fangs, :d, :o, closed eyes, one eye closed, wink, frown, laughing, pout, bangs, blunt bangs, hair between eyes,
sidelocks, ahoge, ponytail, twintails, low twintails, braid, twin braids, braids, bun, hair bun, double bun,
side ponytail, bob cut, curly hair, wavy hair, straight hair, messy hair, long hair, short hair, medium hair,
very long hair, floating hair, spiked hair, bald, beard, facial hair, mustache, upper body, lower body, full body,
fullbody, cowboy shot, portrait, close-up, close up, closeup, headshot, profile, from side, from behind, from above,
from below, front view, back view, side view, wide shot, medium shot, long shot, dutch angle, pov, torso up, bust,
half body, head, torso, view, nose, lips, ears, neck, collarbone, hands, hand, arms, legs, feet, barefoot, shoulders,
bare shoulders, midriff, navel, thighs, bare legs, hips, nails, breasts, large breasts, medium breasts,
small breasts, cleavage, huge breasts, flat chest, abs, muscular, slim, tall, thin, chubby, freckles, mole, makeup,
lipstick, eyeliner, eyeshadow, eyelashes, thick eyebrows, eyebrows, v-shaped eyebrows, pale skin, dark skin, tan,
shiny skin, dark-skinned female, standing, sitting, indoors, outdoors, day, night, alone, white hair, black hair,
heterochromia, multicolored hair, multicolored eyes, two-tone hair, gradient hair, streaked hair, white pupils,
bright pupils, pointy ears, depth, motion blur, jewelry, earrings, holding, letterboxed, extremely beautiful,
eyebrows visible through hair, hand in hair, off shoulder, own hands together
""")

COLOURS = _words("""
red, blue, green, yellow, black, white, brown, grey, gray, pink, purple, orange, blonde, silver, gold, golden, aqua,
teal, amber, violet, dark, light, pale, blond, platinum, crimson, ginger, auburn, colored
""")

APPEARANCE_HEADS = _words(
    "hair, eyes, eye, skin, lips, nails, pupils, eyebrows, bangs, breasts, irises, sclera, eyelashes, theme, background"
)

STYLE = _words("""
watercolor, watercolour, watercolor painting, oil painting, acrylic painting, gouache, ink, ink painting, ink wash,
sumi-e, ukiyo-e, pastel, pencil, pencil drawing, pencil sketch, sketch, line art, lineart, drawing, painting,
charcoal, crayon, chalk, pixel art, pixel, voxel, voxel art, low poly, 3d, 3d render, claymation, clay, papercut,
paper cut, paper cutout, origami, collage, mosaic, stained glass, graffiti, anime, manga, comic, cartoon,
cel shading, flat color, flat colors, limited palette, monochrome, greyscale, grayscale, black and white, sepia,
noir, film noir, vintage, retro, analog, polaroid, vhs, photograph, film still, movie still, moviestill, concept art,
digital art, digital painting, matte painting, fantasy art, fan art, art nouveau, art deco, impressionism,
impressionist, surrealism, surrealist, cubism, cubist, expressionism, baroque, rococo, renaissance, gothic,
cyberpunk, steampunk, dieselpunk, biopunk, solarpunk, stonepunk, vaporwave, synthwave, psychedelic, pop art,
minimalist, minimalism, abstract, ligne claire, chibi, storybook illustration, children's book, sticker, emoji, icon,
logo, isometric, vector art, silhouette, woodcut, linocut, engraving, blueprint, embroidery, felt, knitted, glitch,
pointillism, fresco, tapestry, doodle, sculpture, figurine, plush, lego, photorealistic, hyperrealism, glossy 3d,
rainbow, outline, high contrast, neon, anime coloring, anime style, comic book, graphic novel, poster,
propaganda poster, tarot card
""")

BACKGROUND = _words("""
forest, jungle, beach, ocean, sea, river, lake, waterfall, mountain, mountains, hill, hills, desert, field, meadow,
garden, park, city, street, town, village, cityscape, skyline, road, alley, bridge, castle, ruins, temple, church,
cathedral, palace, house, building, buildings, room, bedroom, kitchen, bathroom, living room, classroom, library,
office, cafe, coffee shop, restaurant, bar, shop, store, market, station, train station, train interior, airport,
harbor, harbour, hospital, school, stadium, stage, court, laboratory, dungeon, cave, space, outer space, sky,
night sky, starry sky, sunset, sunrise, dawn, dusk, snow, rain, fog, mist, storm, clouds, cloud, underwater, island,
valley, canyon, cliff, swamp, farm, barn, yard, backyard, highway, subway, rooftop, balcony, window, scenery,
landscape, nature, battlefield, wasteland, cemetery, graveyard, shrine, tatami, onsen, pool, countryside, autumn,
winter, spring, summer, fire, flames, galaxy, planet, moon, stars, parking lot, sidewalk, train tracks, railroad,
runway, shore, grass, water, hallway, corridor, interior, exterior, ship interior, town square, plaza, fireworks,
cherry blossoms, falling leaves, flower field, autumn leaves
""")

CLOTHING = _words("""
dress, shirt, t-shirt, blouse, skirt, pants, jeans, shorts, jacket, coat, hoodie, sweater, cardigan, suit, uniform,
school uniform, military uniform, kimono, yukata, hanbok, cheongsam, china dress, qipao, robe, robes, cape, cloak,
armor, armour, plate armor, bodysuit, leotard, swimsuit, bikini, lingerie, apron, maid outfit, maid, costume, outfit,
hat, witch hat, cap, beanie, helmet, crown, tiara, mask, glasses, sunglasses, goggles, scarf, tie, necktie, bowtie,
gloves, boots, shoes, sneakers, sandals, high heels, socks, stockings, thighhighs, pantyhose, belt, vest, tunic,
sash, ribbon, bow, choker, necklace, bracelet, hairband, headband, hairclip, veil, wedding dress, gown, hood,
furisode, hakama, sarong, toga, overalls, raincoat, wetsuit, tuxedo, leggings, kneehighs, headphones, backpack, bag,
cosplay, clothes, clothing, attire, sleeves, detached sleeves, serafuku, sailor collar, cheerleader
""")

POSE = _words("""
squatting, kneeling, lying, crouching, seiza, on back, on side, on stomach, all fours, crossed legs, crossed arms,
arms up, hands on hips, hand on hip, arms behind head, arms behind back, fighting stance, running, jumping, walking,
dancing, flying, sleeping, swimming, punching, kicking, waving, pointing, leaning, leaning forward, stretching,
praying, hugging, kissing, riding, reading, eating, drinking, cooking, singing, playing, fighting, floating, falling,
surfing, skiing, skating, skateboarding, snowboarding, peace sign, heart hands, finger gun, salute, selfie, wariza,
indian style, leg up, pose, posing
""")

PEOPLE = _words("""
man, woman, boy, girl, person, people, men, women, child, children, kid, kids, guy, lady, baby, player, players,
group, couple, crowd, family, adult
""")

# Words that end a noun phrase.
FUNCTION = _words("""
a, an, the, this, that, these, those, some, any, each, every, no, its, it's, his, her, their, our, your, my, it, he,
she, they, them, him, we, you, i, of, in, on, at, by, to, for, from, with, without, into, onto, over, under, above,
below, behind, beside, besides, near, next, around, through, across, along, between, among, amongst, against,
towards, toward, inside, outside, off, up, down, out, upon, within, during, after, before, past, via, about, like,
and, or, but, while, as, than, then, who, whom, whose, which, where, when, what, how, there, here, so, if, because,
not, also, too, very, just, only, both, is, are, was, were, be, been, being, am, has, have, had, does, do, did, will,
would, can, could, may, might, should, shall, must, get, gets, getting, sits, stands, holds, rides, wears, looks,
lies, lays, plays, walks, runs, flies, eats, drinks, shows, features, contains, includes, sit, stand, lay, wearing,
holding, sitting, standing, looking, having, using, featuring, containing, showing, dressed, covered, filled, made,
parked, placed, surrounded, one, two, three, four, five, six, several, many, few, lots, lot, bunch, couple, group,
pair, set, piece, pieces, kind, type, sort, top, front, back, side, middle, other, another, together, away, all,
more, most, much, own, someone, something, talks, says, say, sat, stood, lying, leans, leaning, talking, seems,
appears, going, goes, comes, tries, trying, ready, draw, image, picture, view, close-up, closeup, scene, prepares,
takes, taking, makes, making, seen, shown, laying, different, various, multiple, number, make, give, want, need, please,
pls, plz, hey, hi, hello, thanks, thank, me, us, i'd, i'm, i've, we're, she's, he's, lol, ok, okay, u, something, smth,
anything, everything, everyone, nothing
""")

# Nouns that end in -ing.
ING_NOUNS = _words("""
building, painting, clothing, king, ring, wing, evening, morning, ceiling, railing, string, spring, thing, wedding,
lightning, drawing, earring, swing, sibling, pudding, icing, parking, dining, living, swimming, sewing, washing,
cutting, lighting, viking, being, sling, sterling, duckling, dumpling, stuffing, crossing, landing, filling,
frosting, seasoning, topping, racing, cooking, boxing, engraving, housing, bedding, awning, clearing, opening,
gathering
""")

DETERMINERS = _words("a, an, the, any, some, his, her, their, its, my, your, this, that, these, those")

# Words of a noun phrase that name no thing: its noun follows.
QUANTITIES = _words("kind, kinds, sort, sorts, type, types, bunch, lot, lots, pair, of, more, other, such")

# Words that end the scope of a negation: another negation, or the start of what the prompt wants.
NEGATING = _words("but, no, not, never, without, except, instead, rather")

# Words after which "no" is a negation.
BEFORE_NO = _words("""
and, but, or, with, has, have, having, had, is, are, was, were, there's, theres, there, please, absolutely, also, still,
so, plus, yet, wearing, showing, shows, contains, includes, be
""")


def is_verb(word: str) -> bool:
    """Whether a word is a verb in -ing: long enough and not in `ING_NOUNS`."""
    return word.endswith("ing") and len(word) > 4 and word not in ING_NOUNS
