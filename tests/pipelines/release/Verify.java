// What the Android team can do with java.security alone: this checks envelopes and shares as pipelines/release/verify.py
// does. Arguments: the public key in PEM, the salt, then envelopes; installations come by lines of standard input.
// Android's JSONObject reads an envelope; the JDK has no such thing, hence the regular expressions.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Scanner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Verify {
    public static void main(String[] arguments) throws Exception {
        byte[] der = Base64.getMimeDecoder().decode(Files.readString(Path.of(arguments[0])).replaceAll("-----[^-]+-----", ""));
        PublicKey key = KeyFactory.getInstance("EC").generatePublic(new X509EncodedKeySpec(der));
        String keyId = HexFormat.of().formatHex(sha256(der));
        for (int i = 2; i < arguments.length; i++) {
            String envelope = Files.readString(Path.of(arguments[i]));
            byte[] type = field(envelope, "payloadType").getBytes(StandardCharsets.UTF_8);
            byte[] payload = Base64.getDecoder().decode(field(envelope, "payload"));
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initVerify(key);
            signature.update(("DSSEv1 " + type.length + " ").getBytes(StandardCharsets.UTF_8));
            signature.update(type);
            signature.update((" " + payload.length + " ").getBytes(StandardCharsets.UTF_8));
            signature.update(payload);
            boolean good = signature.verify(Base64.getDecoder().decode(field(envelope, "sig")));
            System.out.println(good && keyId.equals(field(envelope, "keyid")) ? "signed" : "refused");
        }
        Scanner installations = new Scanner(System.in, StandardCharsets.UTF_8);
        while (installations.hasNextLine()) {
            byte[] digest = sha256((arguments[1] + "\0" + installations.nextLine()).getBytes(StandardCharsets.UTF_8));
            System.out.println(Long.remainderUnsigned(ByteBuffer.wrap(digest).getLong(), 10_000));
        }
    }

    private static byte[] sha256(byte[] data) throws Exception {
        return MessageDigest.getInstance("SHA-256").digest(data);
    }

    private static String field(String envelope, String name) {
        Matcher found = Pattern.compile("\"" + name + "\": \"([^\"]*)\"").matcher(envelope);
        if (!found.find()) throw new IllegalArgumentException("no " + name);
        return found.group(1);
    }
}
