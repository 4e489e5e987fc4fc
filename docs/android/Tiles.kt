package tilegate

/** Decoded RGB, a byte a value, row by row. */
class Pixels(val width: Int, val height: Int, val rgb: ByteArray) {
    fun at(x: Int, y: Int, colour: Int): Int = rgb[3 * (y * width + x) + colour].toInt() and 255

    fun crop(box: Box): Pixels {
        val part = ByteArray(3 * box.width * box.height)
        for (row in 0 until box.height) {
            val start = 3 * ((box.top + row) * width + box.left)
            rgb.copyInto(part, 3 * row * box.width, start, start + 3 * box.width)
        }
        return Pixels(box.width, box.height, part)
    }
}

inline fun pixels(width: Int, height: Int, value: (x: Int, y: Int, colour: Int) -> Int): Pixels {
    val rgb = ByteArray(3 * width * height)
    var next = 0
    for (y in 0 until height) for (x in 0 until width) for (c in 0..2) rgb[next++] = value(x, y, c).toByte()
    return Pixels(width, height, rgb)
}

data class Box(val left: Int, val top: Int, val width: Int, val height: Int) {
    val isEven get() = left % 2 == 0 && top % 2 == 0

    fun halved() = Box(left / 2, top / 2, width / 2, height / 2)
}

/** `tile_plan`: the overview, then squares of the short side along the long one. */
fun planTiles(width: Int, height: Int): List<Box> {
    val short = minOf(width, height)
    val long = maxOf(width, height)
    val count = (long + short - 1) / short
    val squares = List(count) {
        val offset = (long - short) * it / maxOf(count - 1, 1)
        if (width >= height) Box(offset, 0, short, short) else Box(0, offset, short, short)
    }
    return listOf(Box(0, 0, width, height)) + squares
}

fun cutTiles(screenshot: Pixels, size: Int): List<Pixels> {
    var picture = screenshot
    var boxes = planTiles(picture.width, picture.height)
    // They overlap: while all of them begin at even pixels, halving the picture halves every tile of it at once.
    while (boxes.last().width >= 2 * size && boxes.all(Box::isEven)) {
        picture = halve(picture)
        boxes = boxes.map(Box::halved)
    }
    return boxes.map { resize(picture.crop(it), size) }
}

/** `resize`: exact halvings, then one bilinear step, all in integers. */
fun resize(pixels: Pixels, size: Int): Pixels {
    var picture = pixels
    while (minOf(picture.width, picture.height) >= 2 * size) picture = halve(picture)
    while (picture.height >= 2 * size) picture = picture.run {
        pixels(width, height / 2) { x, y, c -> at(x, 2 * y, c) + at(x, 2 * y + 1, c) + 1 shr 1 }
    }
    while (picture.width >= 2 * size) picture = picture.run {
        pixels(width / 2, height) { x, y, c -> at(2 * x, y, c) + at(2 * x + 1, y, c) + 1 shr 1 }
    }
    return if (picture.width == size && picture.height == size) picture else bilinear(picture, size)
}

fun halve(picture: Pixels): Pixels = picture.run {
    pixels(width / 2, height / 2) { x, y, c ->
        at(2 * x, 2 * y, c) + at(2 * x + 1, 2 * y, c) + at(2 * x, 2 * y + 1, c) + at(2 * x + 1, 2 * y + 1, c) + 2 shr 2
    }
}

private fun bilinear(picture: Pixels, size: Int): Pixels {
    val (left, across) = neighbours(picture.width, size)
    val (upper, down) = neighbours(picture.height, size)
    fun line(x: Int, y: Int, c: Int): Int {
        val right = minOf(left[x] + 1, picture.width - 1)
        return (256 - across[x]) * picture.at(left[x], y, c) + across[x] * picture.at(right, y, c)
    }
    return pixels(size, size) { x, y, c ->
        val lower = minOf(upper[y] + 1, picture.height - 1)
        (256 - down[y]) * line(x, upper[y], c) + down[y] * line(x, lower, c) + 32768 shr 16
    }
}

/** Of each output along an axis of `side` pixels: the left or upper neighbour, and the other one's weight in 1/256. */
private fun neighbours(side: Int, size: Int): Pair<IntArray, IntArray> {
    val low = IntArray(size)
    val weight = IntArray(size)
    for (i in 0 until size) {
        val position = (2 * i + 1) * side - size
        low[i] = Math.floorDiv(position, 2 * size)
        val numerator = 128 * (position - 2 * size * low[i])
        val rest = numerator % size
        weight[i] = numerator / size
        // To the nearest whole number, exact halves to the even one.
        if (2 * rest > size || (2 * rest == size && weight[i] % 2 == 1)) weight[i]++
        if (low[i] < 0 || low[i] >= side - 1) weight[i] = 0
        low[i] = low[i].coerceIn(0, side - 1)
    }
    return low to weight
}
