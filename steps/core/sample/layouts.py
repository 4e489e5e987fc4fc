"""The ten layout families: what fills a screen between its top bar and its navigation."""

import math
from collections.abc import Callable

from steps.core.sample.apps import Look, ink_on, mix
from steps.core.sample.canvas import Box, Canvas
from steps.core.sample.dice import Dice
from steps.core.sample.widgets import avatar, icon, photo, stars, switch

_PAGE = 16
_WIDE = 480
_LOWEST_CARD = 70


def _list(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    step, rated = dice.pick((52, 60, 68)), dice.chance(0.3)
    y = area.top + 4
    while y + step <= area.bottom:
        middle = y + step / 2
        avatar(canvas, (_PAGE + 18, middle), 18, look, dice)
        canvas.text((_PAGE + 48, middle - 9), dice.phrase(2), 15, look.ink, "lm")
        if rated:
            stars(canvas, _PAGE + 48, middle + 11, look.accent, dice)
        else:
            canvas.text((_PAGE + 48, middle + 11), dice.phrase(dice.whole(2, 4)), 12, look.muted, "lm")
        canvas.text((area.right - _PAGE, middle - 9), f"{dice.whole(1, 12)}:{dice.whole(10, 59)}", 11, look.muted, "rm")
        canvas.rectangle(Box(_PAGE + 48, y + step - 1, area.right, y + step), look.line)
        y += step


def _feed(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    columns = 2 if area.width > _WIDE or dice.chance(0.3) else 1
    width = (area.width - _PAGE * (columns + 1)) / columns
    for column in range(columns):
        left = _PAGE + column * (width + _PAGE)
        y = area.top + 10
        while y + 70 < area.bottom:
            bottom = min(y + dice.between(120, 230), area.bottom)
            card = Box(left, y, left + width, bottom)
            canvas.rectangle(card, look.line, look.radius)
            canvas.rectangle(card.inset(1), look.surface, look.radius)
            split = y + (bottom - y) * dice.between(0.4, 0.65)
            photo(canvas, Box(left + 8, y + 8, left + width - 8, split), look, dice)
            canvas.text((left + 10, split + 6), dice.phrase(2), 14, look.ink)
            text = Box(left + 10, split + 26, left + width - 10, bottom - 4)
            canvas.paragraph(text, dice.phrase(9), 11, look.muted)
            y = bottom + 12


def _chat(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    y = area.top + 10
    while y + 36 < area.bottom - 48:
        mine, lines = dice.chance(0.5), dice.whole(1, 3)
        width, height = area.width * dice.between(0.35, 0.65), 16.0 + 18 * lines
        left = area.right - _PAGE - width if mine else _PAGE + 34
        fill = look.accent if mine else mix(look.surface, look.line, 0.6)
        bubble = Box(left, y, left + width, min(y + height, area.bottom - 48))
        canvas.rectangle(bubble, fill, min(look.radius + 4, 16))
        canvas.paragraph(bubble.inset(8), dice.phrase(lines * 4), 13, ink_on(fill))
        if not mine:
            avatar(canvas, (_PAGE + 12, y + 14), 12, look, dice)
        y += height + 9
    canvas.rectangle(Box(_PAGE, area.bottom - 42, area.right - _PAGE, area.bottom - 8), look.line, 17)
    canvas.text((_PAGE + 16, area.bottom - 25), dice.phrase(2), 13, look.muted, "lm")


def _settings(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    y = area.top + 8
    while y + 46 < area.bottom:
        if dice.chance(0.2):
            canvas.text((_PAGE, y + 16), dice.phrase(1), 12, look.accent)
            y += 34
            continue
        icon(canvas, (_PAGE + 12, y + 23), 9, look.muted, dice)
        canvas.text((_PAGE + 38, y + 23), dice.phrase(dice.whole(1, 3)), 15, look.ink, "lm")
        if dice.chance(0.5):
            switch(canvas, area.right - _PAGE, y + 23, look, dice)
        else:
            value = f"{dice.whole(1, 100)}%" if dice.chance(0.4) else dice.phrase(1)
            canvas.text((area.right - _PAGE, y + 23), value, 13, look.muted, "rm")
        y += 46


def _map(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    canvas.rectangle(area, mix(look.ground, look.line, 0.5))
    for _ in range(dice.whole(2, 5)):
        x, y = dice.between(0, area.right), dice.between(area.top, area.bottom)
        size, fill = dice.between(30, 110), mix(look.ground, dice.pick((look.second, look.accent)), 0.3)
        canvas.polygon([(x, y), (x + size, y - size / 3), (x + size * 1.2, y + size), (x - size / 4, y + size)], fill)
    for _ in range(dice.whole(6, 11)):
        ends = [(-5.0, dice.between(area.top, area.bottom)), (area.right + 5, dice.between(area.top, area.bottom))]
        if dice.chance(0.5):
            ends = [(dice.between(0, area.right), area.top), (dice.between(0, area.right), area.bottom)]
        canvas.line(ends, look.surface, dice.pick((4, 7, 11)))
    for _ in range(dice.whole(1, 4)):
        x, y = dice.between(30, area.right - 30), dice.between(area.top + 60, area.bottom - 20)
        canvas.polygon([(x - 10, y - 14), (x + 10, y - 14), (x, y)], look.accent)
        canvas.disc((x, y - 18), 11, look.accent)
        canvas.disc((x, y - 18), 4, look.surface)
    search = Box(_PAGE, area.top + 10, area.right - _PAGE, area.top + 48)
    canvas.rectangle(search, look.surface, look.radius)
    canvas.text((_PAGE + 14, area.top + 29), dice.phrase(2), 14, look.muted, "lm")


def _calendar(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    cell, rows = area.width / 7, min(6, int((area.height - 60) / 44))
    first, today = dice.whole(0, 6), dice.whole(1, 28)
    for column, letter in enumerate("MTWTFSS"):
        canvas.text((cell * (column + 0.5), area.top + 16), letter, 12, look.muted, "mm")
    for place in range(rows * 7):
        day = place - first + 1
        x, y = cell * (place % 7 + 0.5), area.top + 46 + place // 7 * 44
        if day == today:
            canvas.disc((x, y), 17, look.accent)
        if day in range(1, 32):
            canvas.text((x, y), str(day), 14, ink_on(look.accent) if day == today else look.ink, "mm")
            if dice.chance(0.25):
                canvas.disc((x, y + 18), 3, look.second)
    y = area.top + 46 + rows * 44
    while y + 44 < area.bottom:
        fill = mix(look.surface, dice.pick((look.accent, look.second)), 0.3)
        canvas.rectangle(Box(_PAGE, y, area.right - _PAGE, y + 38), fill, min(look.radius, 12))
        canvas.text((_PAGE + 12, y + 19), dice.phrase(3), 13, look.ink, "lm")
        y += 46


def _dashboard(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    columns = 4 if area.width > _WIDE else 2
    width = (area.width - _PAGE) / columns - _PAGE
    for place in range(columns * math.ceil(area.height / 130)):
        left, top = _PAGE + place % columns * (width + _PAGE), area.top + 10 + place // columns * 130
        card = Box(left, top, left + width, min(top + 118, area.bottom))
        if card.height < _LOWEST_CARD:
            break
        canvas.rectangle(card, look.surface if look.surface != look.ground else look.line, look.radius)
        canvas.text((left + 10, top + 9), dice.phrase(1), 11, look.muted)
        number = f"{dice.whole(1, 99)}%" if dice.chance(0.4) else f"{dice.whole(100, 9999):,}"
        canvas.text((left + 10, top + 24), number, 20, look.ink)
        _chart(canvas, Box(left + 10, top + 54, left + width - 10, card.bottom - 10), look, dice)


def _chart(canvas: Canvas, box: Box, look: Look, dice: Dice) -> None:
    ink, count = dice.pick((look.accent, look.second)), dice.whole(5, 9)
    heights = [box.height * dice.between(0.1, 1) for _ in range(count)]
    match dice.whole(0, 2):
        case 0:
            step = box.width / count
            for bar, height in enumerate(heights):
                left = box.left + bar * step
                canvas.rectangle(Box(left, box.bottom - height, left + step * 0.7, box.bottom), ink)
        case 1:
            step = box.width / (count - 1)
            canvas.line([(box.left + i * step, box.bottom - height) for i, height in enumerate(heights)], ink, 2.5)
        case _:
            radius = max(4, min(box.width, box.height) / 2)
            canvas.arc(box.middle, radius, (0, 360), look.line, radius * 0.35)
            canvas.arc(box.middle, radius, (-90, dice.between(0, 260)), ink, radius * 0.35)


def _reader(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    margin, size = dice.between(16, 28), dice.pick((17, 19, 21))
    y = canvas.paragraph(Box(margin, area.top + 12, area.right - margin, area.bottom), dice.phrase(5), 22, look.ink)
    if dice.chance(0.4) and y + 130 < area.bottom:
        photo(canvas, Box(margin, y + 6, area.right - margin, y + 110), look, dice)
        y += 120
    while y + 2 * size < area.bottom:
        text = dice.phrase(dice.whole(12, 24))
        y = canvas.paragraph(Box(margin, y + 14, area.right - margin, area.bottom), text, size, look.ink) + 4


def _media(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    columns = dice.whole(2, 3) + (2 if area.width > _WIDE else 0)
    gap, cell = dice.pick((2, 6, 10)), area.width / columns
    rows = math.ceil(area.height / cell)
    for place in range(columns * rows):
        left, top = place % columns * cell, area.top + place // columns * cell
        box = Box(left + gap / 2, top + gap / 2, left + cell - gap / 2, min(top + cell - gap / 2, area.bottom))
        photo(canvas, box, look, dice)


def _weather(canvas: Canvas, area: Box, look: Look, dice: Dice) -> None:
    canvas.gradient(area, mix(look.accent, look.ground, 0.3), mix(look.accent, look.ground, 0.8))
    ink = ink_on(mix(look.accent, look.ground, 0.45))
    x = area.width / 2
    canvas.text((x, area.top + 40), dice.phrase(1), 20, ink, "mm")
    canvas.text((x, area.top + 92), f"{dice.whole(-9, 36)}°", 64, ink, "mm")
    canvas.text((x, area.top + 146), f"Rain {dice.whole(0, 100)}%", 14, ink, "mm")
    y = area.top + 180
    while y + 36 < area.bottom:
        canvas.text((_PAGE, y + 18), dice.phrase(1), 14, ink, "lm")
        low, high = sorted((dice.between(0.4, 0.7), dice.between(0.5, 0.9)))
        canvas.disc((area.width * 0.32, y + 18), 8, dice.pick((look.second, look.surface)))
        canvas.rectangle(Box(area.width * low, y + 15, area.width * high, y + 21), look.second, 3)
        canvas.text((area.right - _PAGE, y + 18), f"{dice.whole(-9, 36)}°", 14, ink, "rm")
        y += 36


LAYOUTS: dict[str, Callable[[Canvas, Box, Look, Dice], None]] = {
    "list": _list, "feed": _feed, "chat": _chat, "settings": _settings, "map": _map, "calendar": _calendar,
    "dashboard": _dashboard, "reader": _reader, "media": _media, "weather": _weather,
}  # fmt: skip
