import Bytes
import Synchronization

/// The encrypted keys (PKCS#8) that this process has in use, by the text that they were read from or written as.
///
/// Opening one takes a fifth of a second, by intent (scrypt). Whoever has the key in use and reads the same text with the same
/// passphrase again, as every reload and every look at changed files does, need not derive it again, nor hold up everybody else.
/// Keys are held weakly: one that nobody uses any more is wiped as always, and has to be opened anew. Of a passphrase only a hash
/// over it and the text is kept, in guarded memory, until keys are asked for and this one is not in use any more.
enum OpenedKeys {
    private struct Entry {
        let proof: Passphrase
        weak var key: PrivateKey?
    }

    private static let entries = Mutex<[Entry]>([])
    private static let header = Array("-----BEGIN ENCRYPTED PRIVATE KEY-----".utf8)

    /// The key of this text, if it is in use and was opened or written with this passphrase.
    static func key(in text: [UInt8], _ passphrase: Passphrase) -> PrivateKey? {
        guard let proof = proof(of: text, passphrase) else { return nil }
        return entries.withLock { entries in
            entries.removeAll { $0.key == nil }
            return entries.first { $0.proof.isSame(as: proof) }?.key
        }
    }

    /// Notes what the text of a key is; only the newest text of a key counts. Nothing is noted of a text that does not begin with
    /// an encrypted key: opening it may need no passphrase.
    static func note(_ key: PrivateKey, as text: [UInt8], _ passphrase: Passphrase) {
        guard let proof = proof(of: text, passphrase) else { return }
        let entry = Entry(proof: proof, key: key)
        entries.withLock { entries in
            entries.removeAll { $0.key == nil || $0.key === key }
            entries.append(entry)
        }
    }

    /// That somebody has both text and passphrase; nil for other texts.
    private static func proof(of text: [UInt8], _ passphrase: Passphrase) -> Passphrase? {
        guard text.starts(with: header) else { return nil }
        return passphrase.derived("opened key \(Hex.encode(sha256(text))) ")
    }
}
