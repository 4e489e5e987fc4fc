package tilegate

import java.nio.ByteBuffer
import java.security.KeyFactory
import java.security.MessageDigest
import java.security.Signature
import java.security.SignatureException
import java.security.spec.X509EncodedKeySpec
import java.util.Base64
import org.json.JSONObject

private const val CHANNEL = "application/vnd.tilegate.channel.v1+json"
private const val RELEASE = "application/vnd.tilegate.release.v1+json"

class Refused(why: String) : Exception(why)

fun sha256(bytes: ByteArray): ByteArray = MessageDigest.getInstance("SHA-256").digest(bytes)

fun hex(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }

/** The release bucket as a phone reads it: `load` gets an object's bytes, `keys` are public keys in DER. */
class Releases(private val keys: List<ByteArray>, private val load: (String) -> ByteArray) {
    /** The channel's signed word; remember its `sequence` as `seen`: an older one was put back by somebody. */
    fun channel(name: String, seen: Long): JSONObject {
        val said = opened(load("channels/$name.json"), CHANNEL)
        if (said.getString("channel") != name) throw Refused("signed for another channel")
        if (said.getLong("sequence") < seen) throw Refused("older than what was seen before")
        return said
    }

    /** What this installation runs, as file name to bytes; null if it is to run no model. */
    fun files(channel: JSONObject, installation: String): Map<String, ByteArray>? {
        val rollout = channel.getJSONObject("rollout")
        val included = shareOf(rollout.getString("salt"), installation) < rollout.getLong("percent") * 100
        val release = (if (included) channel else rollout).optJSONObject(if (included) "release" else "otherwise") ?: return null
        val place = release.getString("manifest")
        val bytes = load(place)
        if (hex(sha256(bytes)) != release.getString("manifest_sha256")) throw Refused("not the manifest of the channel")
        val manifest = opened(bytes, RELEASE)
        if (manifest.getInt("version") != release.getInt("version")) throw Refused("the manifest of another version")
        val listed = manifest.getJSONArray("files")
        return (0 until listed.length()).map(listed::getJSONObject).associate { file ->
            val path = file.getString("path")
            if (!PLAIN.matches(path)) throw Refused("no plain path: $path")
            val data = load("${place.substringBeforeLast('/')}/$path")
            if (data.size != file.getInt("bytes") || hex(sha256(data)) != file.getString("sha256")) throw Refused("changed: $path")
            path to data
        }
    }

    /** The payload of a DSSE envelope that one of the keys has signed. */
    private fun opened(bytes: ByteArray, wanted: String): JSONObject {
        val envelope = JSONObject(String(bytes))
        val type = envelope.getString("payloadType").toByteArray()
        val payload = Base64.getDecoder().decode(envelope.getString("payload"))
        val message = "DSSEv1 ${type.size} ".toByteArray() + type + " ${payload.size} ".toByteArray() + payload
        val signatures = envelope.getJSONArray("signatures")
        val signed = (0 until signatures.length()).map(signatures::getJSONObject).any { one ->
            keys.any { key -> one.getString("keyid") == hex(sha256(key)) && isSigned(message, one.getString("sig"), key) }
        }
        if (!signed) throw Refused("signed by none of the keys")
        if (String(type) != wanted) throw Refused("signed as something else")
        return JSONObject(String(payload)).also { if (it.getInt("format") != 1) throw Refused("of a newer format") }
    }

    private fun isSigned(message: ByteArray, signature: String, key: ByteArray): Boolean = try {
        Signature.getInstance("SHA256withECDSA").run {
            initVerify(KeyFactory.getInstance("EC").generatePublic(X509EncodedKeySpec(key)))
            update(message)
            verify(Base64.getDecoder().decode(signature))
        }
    } catch (_: SignatureException) {
        false
    }

    private companion object {
        val PLAIN = Regex("(?!.*(^|/)\\.{1,2}(/|$))[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
    }
}

/** Where an installation stands in a rollout, 0 to 9,999: a higher percentage includes all that a lower one does. */
fun shareOf(salt: String, installation: String): Long =
    java.lang.Long.remainderUnsigned(ByteBuffer.wrap(sha256("$salt\u0000$installation".toByteArray())).long, 10_000)

/** What an installation is to run, null for no model, and the `sequence` that it remembers as `seen`. */
class Followed(val sequence: Long, val classifier: Classifier?)

/** All of an app's road to a model; `run` keeps the bytes of `model.tflite` and gives them to the runtime. */
fun follow(releases: Releases, channel: String, seen: Long, installation: String, run: (ByteArray) -> TileModel): Followed {
    val said = releases.channel(channel, seen)
    val classifier = releases.files(said, installation)?.let { files ->
        Classifier(JSONObject(String(files.getValue("model.json"))), run(files.getValue("model.tflite")))
    }
    return Followed(said.getLong("sequence"), classifier)
}
