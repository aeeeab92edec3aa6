import Foundation
import PKI
import Testing

@Suite struct PrivateKeyTests {
    @Test(arguments: [KeyAlgorithm.p256, .p384, .ed25519, .rsa2048])
    func survivesPEM(_ algorithm: KeyAlgorithm) throws {
        let key = try PrivateKey.generate(algorithm)
        let again = try PrivateKey(pem: key.pem())
        #expect(again.publicKey == key.publicKey)
        #expect(again.kind == key.kind)
        let other = try PrivateKey.generate(algorithm)
        #expect(other.publicKey != key.publicKey)
    }

    @Test func describesItself() throws {
        #expect(try PrivateKey.generate().kind.description == "ECDSA P-256")
        #expect(try PrivateKey.generate(.ed25519).kind.description == "Ed25519")
        #expect(try PrivateKey.generateRSA(bits: 1024).kind.description == "RSA 1024")
    }

    @Test func encryptedNeedsItsPassphrase() throws {
        let key = try PrivateKey.generate()
        let pem = try key.pem(encryptedWith: Passphrase("correct horse"))
        #expect(String(decoding: pem, as: UTF8.self).hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"))
        #expect(try PrivateKey(pem: pem, passphrase: Passphrase("correct horse")).publicKey == key.publicKey)
        #expect(reason { try PrivateKey(pem: pem, passphrase: Passphrase("correct horsf")) } == .badPassphrase)
        #expect(reason { try PrivateKey(pem: pem, passphrase: Passphrase("")) } == .badPassphrase)
        #expect(reason { try PrivateKey(pem: pem) } == .badPassphrase)
    }

    /// Opening costs a fifth of a second, by intent: not again for who has the key in use, and the passphrase.
    @Test func anEncryptedKeyInUseIsNotOpenedAgain() throws {
        let scratch = try Scratch()
        let pem = try PrivateKey.generate().pem(encryptedWith: Passphrase("correct horse"))
        let file = try scratch.write("a.key", String(decoding: pem, as: UTF8.self), mode: 0o600)
        func load(_ words: String = "correct horse") throws -> PrivateKey {
            try PrivateKey.load(file: file, passphrase: Passphrase(words))
        }
        let key = try load()
        #expect(try load() === key)
        #expect(reason { try load("correct horsf") } == .badPassphrase)
        #expect(reason { try PrivateKey.load(file: file) } == .badPassphrase)
        chmod(file, 0o644)
        #expect(reason { try load() } == .keyReadableByOthers)
        chmod(file, 0o600)
        // Another text, of another key or of the same.
        let other = try PrivateKey.generate()
        try other.write(to: file, encryptedWith: Passphrase("correct horse"))
        #expect(try load() === other)
        try key.write(to: file, encryptedWith: Passphrase("battery staple"))
        #expect(reason { try load() } == .badPassphrase)
        #expect(try load("battery staple") === key)
    }

    /// Nothing keeps a key that nobody uses.
    @Test func aKeyOutOfUseIsNotKept() throws {
        let scratch = try Scratch()
        let file = scratch.file("a.key")
        let passphrase = Passphrase("correct horse")
        weak var kept: PrivateKey?
        func make() throws -> PublicKey {
            let key = try PrivateKey.generate()
            try key.write(to: file, encryptedWith: passphrase)
            kept = try PrivateKey.load(file: file, passphrase: passphrase)
            #expect(kept === key)
            return key.publicKey
        }
        let publicKey = try make()
        #expect(kept == nil)
        #expect(try PrivateKey.load(file: file, passphrase: passphrase).publicKey == publicKey)
    }

    /// Where a passphrase was given, another one is needed, and no flag that is there already.
    @Test func theFlagOfAPassphraseIsNamedWhereNoneWasGiven() throws {
        let pem = try PrivateKey.generate().pem(encryptedWith: Passphrase("correct horse"))
        func hint(_ given: Passphrase?) -> String? {
            let error = #expect(throws: CertificateError.self) {
                try Passphrase.naming("--some-file", unless: given) { () throws(CertificateError) in
                    try PrivateKey(pem: pem, passphrase: given)
                }
            }
            return error?.hint
        }
        #expect(hint(nil) == "give its passphrase: --some-file FILE (mode 0600)")
        #expect(hint(Passphrase("wrong"))?.contains("--some-file") == false)
    }

    @Test func passphraseFileIsItsFirstLine() throws {
        let scratch = try Scratch()
        let file = try scratch.write("pass", "s3cret word\r\nmore\n")
        let passphrase = try Passphrase.load(file: file)
        #expect(passphrase.withBytes { Array($0) } == Array("s3cret word".utf8))
        #expect(reason { try Passphrase.load(file: scratch.write("blank", "\n")) } == .emptyFile)
        #expect(reason { try Passphrase.load(file: scratch.write("open", "x\n", mode: 0o644)) } == .keyReadableByOthers)
    }

    /// In a process of its own: the mask concerns all threads.
    @Test func filesAreOwnersOnlyUnderAnyUmask() async {
        await #expect(processExitsWith: .success) {
            let scratch = try Scratch()
            let fixture = try Fixture.shared.get()
            let credentials = try Credentials(chain: [fixture.leaf()], key: fixture.key)
            for mask in [mode_t(0), 0o777] {
                let before = umask(mask)
                defer { umask(before) }
                try credentials.write(certificateFile: scratch.file("a.crt"), keyFile: scratch.file("a.key"))
                try credentials.writePKCS12(to: scratch.file("a.pfx"), passphrase: Passphrase("x"))
                #expect(try scratch.mode("a.key") == 0o600)
                #expect(try scratch.mode("a.pfx") == 0o600)
                #expect(try scratch.mode("a.crt") == 0o644)
            }
            // Nothing is left of the temporary files.
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == [
                    "a.crt", "a.key", "a.pfx",
                ])
        }
    }

    @Test func replacesOnlyWhenAsked() throws {
        let scratch = try Scratch()
        let first = try PrivateKey.generate()
        let second = try PrivateKey.generate()
        let file = scratch.file("node.key")
        try first.write(to: file)
        #expect(reason { try second.write(to: file, replace: false) } == .unwritableFile)
        #expect(try PrivateKey.load(file: file).publicKey == first.publicKey)
        try second.write(to: file)
        #expect(try PrivateKey.load(file: file).publicKey == second.publicKey)
        #expect(reason { try first.write(to: scratch.file("no/such/dir.key")) } == .unwritableFile)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["node.key"])
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o644, 0o660])
    func refusesKeysThatOthersReach(_ mode: Int) throws {
        let scratch = try Scratch()
        let key = try PrivateKey.generate()
        let file = try scratch.write("node.key", key.pem(), mode: mode)
        let error = #expect(throws: CertificateError.self) { try PrivateKey.load(file: file) }
        #expect(error?.reason == .keyReadableByOthers)
        #expect(error?.hint == "run: chmod 600 \(file)")
        #expect(error?.file == file)
        #expect(try PrivateKey.load(file: file, permissions: .ignored).publicKey == key.publicKey)
    }

    /// What is wrong with it is not that others can read it.
    @Test func aCertificateIsNoKeyThatOthersReach() throws {
        let scratch = try Scratch()
        let file = try scratch.write("node.crt", Array(Fixture.shared.get().leaf().pem.utf8), mode: 0o644)
        #expect(reason { try PrivateKey.load(file: file) } == .missingKey)
    }

    @Test func unreadableFiles() throws {
        let scratch = try Scratch()
        #expect(reason { try PrivateKey.load(file: scratch.file("absent")) } == .unreadableFile)
        #expect(reason { try PrivateKey.load(file: scratch.path) } == .unreadableFile)
        mkfifo(scratch.file("fifo"), 0o600)
        #expect(reason { try PrivateKey.load(file: scratch.file("fifo")) } == .unreadableFile)
        let large = try scratch.write("large", [UInt8](repeating: 0x41, count: SafeFile.sizeLimit + 1))
        #expect(reason { try Certificate.load(file: large) } == .tooLarge)
        #expect(reason { try PrivateKey.load(file: scratch.write("empty", "")) } == .emptyFile)
    }
}
