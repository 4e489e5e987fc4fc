/** The app's Kotlin on a JVM, for tests and for a look from the command line; a phone has other decoders and runtimes. */
package tilegate

import com.sun.jna.Memory
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import com.sun.jna.ptr.PointerByReference
import java.io.File
import java.util.Base64
import javax.imageio.ImageIO
import org.json.JSONArray
import org.json.JSONObject

/** LiteRT by its C interface (litert/c of its repository), the library that its Python package brings. */
class LiteRt(library: String, file: File) : TileModel {
    private val native = NativeLibrary.getInstance(library)
    private val environment = made("LiteRtCreateEnvironment", 0, null)
    private val options = made("LiteRtCreateOptions").also { call("LiteRtSetOptionsHardwareAccelerators", it, CPU) }
    private val model = made("LiteRtCreateModelFromFile", environment, file.path)
    private val compiled = made("LiteRtCreateCompiledModel", environment, model, options)
    private val pixels = Tensor(UINT8) { call("LiteRtGetCompiledModelInputTensorLayout", compiled, 0L, 0L, it) }
    private val found = Tensor(FLOAT32) { call("LiteRtGetCompiledModelOutputTensorLayouts", compiled, 0L, 1L, it, 0) }

    override fun features(tile: ByteArray): FloatArray {
        check(tile.size == pixels.count) { "a tile of ${tile.size} values, ${pixels.count} are wanted" }
        pixels.memory.write(0, tile, 0, tile.size)
        val (input, output) = PointerByReference(pixels.buffer) to PointerByReference(found.buffer)
        call("LiteRtRunCompiledModel", compiled, 0L, 1L, input, 1L, output)
        return found.memory.getFloatArray(0, found.count)
    }

    /** A buffer of ours as LiteRtRankedTensorType has it: type, then LiteRtLayout (rank, eight sides, eight strides). */
    private inner class Tensor(type: Int, layout: (Pointer) -> Unit) {
        private val ranked = Memory(72).apply { setInt(0, type) }.also { layout(it.share(4)) }
        val count = (0 until (ranked.getInt(4) and 127)).fold(1) { product, side -> product * ranked.getInt(8L + 4 * side) }
        private val bytes = if (type == FLOAT32) 4L * count else count.toLong()
        val memory: Pointer = Memory(bytes + 64).align(64)
        val buffer = made("LiteRtCreateTensorBufferFromHostMemory", ranked, memory, bytes, null)
    }

    private fun made(name: String, vararg words: Any?): Pointer =
        PointerByReference().also { call(name, *words, it) }.value

    private fun call(name: String, vararg words: Any?) {
        val status = native.getFunction(name).invokeInt(words)
        check(status == 0) { "$name: status $status" }
    }

    private companion object {
        const val CPU = 1
        const val UINT8 = 3
        const val FLOAT32 = 1
    }
}

fun decode(file: File): Pixels {
    val image = ImageIO.read(file)
    val row = IntArray(image.width * image.height).also { image.getRGB(0, 0, image.width, image.height, it, 0, image.width) }
    return pixels(image.width, image.height) { x, y, colour -> row[y * image.width + x] shr (16 - 8 * colour) }
}

/** What a bundle's app makes of pictures, as `tilegate device check --scores` reads it. */
fun answers(classifier: Classifier, pictures: List<File>) = JSONObject().also { told ->
    for (picture in pictures) {
        val screenshot = decode(picture)
        val verdict = classifier.classify(screenshot)
        val boxes = planTiles(screenshot.width, screenshot.height).map { listOf(it.left, it.top, it.width, it.height) }
        told.put(
            picture.nameWithoutExtension,
            JSONObject()
                .put("score", verdict?.score ?: JSONObject.NULL)
                .put("positive", verdict?.isPositive ?: JSONObject.NULL)
                .put("evidence", JSONArray((verdict?.evidence ?: DoubleArray(0)).toList()))
                .put("pixels_sha256", hex(sha256(screenshot.rgb)))
                .put("tiles", JSONArray(boxes.map(::JSONArray)))
                .put("tiles_sha256", JSONArray(cutTiles(screenshot, classifier.size).map { hex(sha256(it.rgb)) })),
        )
    }
}

fun bundled(library: String, bundle: File): Classifier {
    val contract = JSONObject(File(bundle, "model.json").readText())
    val model = File(bundle, "model.tflite")
    check(hex(sha256(model.readBytes())) == contract.getString("sha256")) { "not the file of model.json" }
    return Classifier(contract, LiteRt(library, model))
}

fun releases(root: File, key: File): Releases {
    val der = Base64.getMimeDecoder().decode(key.readText().replace(Regex("-----[^-]+-----"), ""))
    return Releases(listOf(der)) { File(root, it).readBytes() }
}

/** The share of each installation, and the sha256 of the files that it is to run. */
fun shares(releases: Releases, name: String, seen: Long, installations: List<String>): JSONObject {
    val channel = releases.channel(name, seen)
    val salt = channel.getJSONObject("rollout").getString("salt")
    return JSONObject().also { told ->
        for (installation in installations) {
            val files = releases.files(channel, installation)?.mapValues { hex(sha256(it.value)) }
            val of = JSONObject().put("share", shareOf(salt, installation))
            told.put(installation, of.put("files", files?.let(::JSONObject) ?: JSONObject.NULL))
        }
    }
}

/** What an installation that follows a channel makes of pictures; null if it is to run no model. */
fun app(library: String, releases: Releases, channel: String, installation: String, pictures: List<File>): JSONObject {
    val followed = follow(releases, channel, 0, installation) { bytes ->
        LiteRt(library, File.createTempFile("model", ".tflite").apply { writeBytes(bytes) })
    }
    val scored = followed.classifier?.let { answers(it, pictures) } ?: JSONObject.NULL
    return JSONObject().put("sequence", followed.sequence).put("answers", scored)
}

fun main(words: Array<String>) {
    fun files(first: Int) = words.drop(first).map(::File)
    val told = when (words[0]) {
        "score" -> answers(bundled(words[1], File(words[2])), files(3))
        "app" -> app(words[1], releases(File(words[2]), File(words[3])), words[4], words[5], files(6))
        else -> shares(
            releases(File(words[1]), File(words[2])), words[3], words[4].toLong(), generateSequence(::readLine).toList(),
        )
    }
    println(told.toString(1))
}
