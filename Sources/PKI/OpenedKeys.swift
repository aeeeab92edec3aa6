import Bytes
import Synchronization

/// The encrypted keys that this process has in use, by the text that they were read from or written as.
///
/// Opening one takes a fifth of a second, by intent (scrypt). Whoever has the key in use and reads the same text with the same
/// passphrase again, as every reload and every look at changed files does, need not derive it again, nor hold up everybody else.
/// Keys are held weakly: what nobody uses any more is wiped as always, and has to be opened anew. Of passphrases only a hash
/// over them and the text is kept, in guarded memory.
enum OpenedKeys {
    private struct Entry {
        let proof: Passphrase
        weak var key: PrivateKey?
    }

    private static let entries = Mutex<[Entry]>([])

    /// The key of this text, if it is in use and was opened or written with this passphrase.
    static func key(in text: [UInt8], _ passphrase: Passphrase) -> PrivateKey? {
        let proof = proof(of: text, passphrase)
        return entries.withLock { entries in entries.first { $0.proof.isSame(as: proof) }?.key }
    }

    /// Notes what the text of a key is; only the newest text of a key counts.
    static func note(_ key: PrivateKey, as text: [UInt8], _ passphrase: Passphrase) {
        let entry = Entry(proof: proof(of: text, passphrase), key: key)
        entries.withLock { entries in
            entries.removeAll { $0.key == nil || $0.key === key }
            entries.append(entry)
        }
    }

    /// That somebody has both text and passphrase.
    private static func proof(of text: [UInt8], _ passphrase: Passphrase) -> Passphrase {
        passphrase.derived("opened key \(Hex.encode(sha256(text))) ")
    }
}
