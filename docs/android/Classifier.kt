package tilegate

import kotlin.math.exp
import org.json.JSONArray
import org.json.JSONObject

/** Runs the signature `tile` of `model.tflite`: RGB of [1, size, size, 3] in, `features` [1, D] out. */
fun interface TileModel {
    fun features(tile: ByteArray): FloatArray
}

/** What came of a screenshot; `evidence` is what each tile adds to the logit, overview first. */
class Verdict(val score: Double, val isPositive: Boolean, val evidence: DoubleArray)

/** A bundle's `model.json`, and the model that it is of. */
class Classifier(contract: JSONObject, private val model: TileModel) {
    init {
        require(contract.getInt("format") == 4) { "model.json has a format that this app does not know" }
    }

    val size: Int = contract.getJSONObject("preprocessing").getInt("tile_size")
    val sha256: String = contract.getString("sha256")
    private val threshold = contract.getDouble("threshold")
    private val limits = contract.getJSONObject("limits")
    private val head = Head(contract.getJSONObject("head"))

    fun admits(width: Int, height: Int): Boolean {
        val short = minOf(width, height).toLong()
        val long = maxOf(width, height).toLong()
        return short > 0 && long <= limits.getLong("max_side") && long * short <= limits.getLong("max_pixels") &&
            long <= short * limits.getLong("max_aspect")
    }

    /** Null for a screenshot outside of the limits: it is no decision. */
    fun classify(screenshot: Pixels): Verdict? {
        if (!admits(screenshot.width, screenshot.height)) return null
        val evidence = head.evidence(cutTiles(screenshot, size).map { model.features(it.rgb) })
        val score = 1 / (1 + exp(-(head.bias + evidence.sum())))
        return Verdict(score, score > threshold, evidence) // NaN is not positive.
    }
}

/** The contract's `head`: features of a screenshot's tiles to what each adds to the logit. */
class Head(json: JSONObject) {
    val bias: Double = json.getDouble("bias")
    private val overview = json.getJSONArray("overview").toDoubles()
    private val mean = json.getJSONArray("mean").toDoubles()
    private val maximum = json.getJSONArray("maximum").toDoubles()

    fun evidence(features: List<FloatArray>): DoubleArray {
        val found = DoubleArray(features.size)
        val squares = 1 until features.size
        for (d in overview.indices) {
            found[0] += overview[d] * features[0][d]
            val largest = squares.maxOf { features[it][d] }
            val reached = squares.count { features[it][d] == largest }
            for (i in squares) {
                val share = if (features[i][d] == largest) maximum[d] / reached else 0.0
                found[i] += features[i][d] * (mean[d] / squares.count() + share)
            }
        }
        return found
    }
}

private fun JSONArray.toDoubles() = DoubleArray(length(), ::getDouble)
