import Foundation
import PKI
import TestPrograms
import Testing

/// Responses of `openssl ocsp`, as a responder makes them.
@Suite struct OCSPTests {
    private static let root = NSTemporaryDirectory() + "ocsp-\(getpid())"

    private let register: OCSPRegister
    private let subject: OCSPSubject
    /// After everything that a test makes.
    private let now = Int64(time(nil)) + 60

    init() throws {
        register = try OCSPRegister(in: Self.root, name: "Register CA")
        let leaf = try register.issue("leaf")
        subject = OCSPSubject(try Self.load(leaf), issuer: try Self.load(register.authority))
        try register.set(leaf.certificate, .good)
    }

    private static func load(_ issued: OCSPRegister.Issued) throws -> Certificate {
        try Certificate.parsePEM([UInt8](Data(contentsOf: URL(fileURLWithPath: issued.certificate))))[0]
    }

    private func code(_ der: [UInt8], about other: OCSPSubject? = nil, at time: Int64? = nil) -> OCSPError.Code? {
        do {
            _ = try OCSPAnswer(der: der, about: other ?? subject, now: time ?? now)
            return nil
        } catch {
            #expect(!error.message.isEmpty)
            return error.code
        }
    }

    @Test func eachState() throws {
        let request = try subject.request()
        let good = try OCSPAnswer(der: try register.respond(to: request), about: subject, now: now)
        #expect(good.status == .good)
        #expect(abs(good.thisUpdate - now) < 120 && good.validUntil == good.thisUpdate + 86_400)
        let leaf = try register.issue("other")
        let other = OCSPSubject(try Self.load(leaf), issuer: subject.issuer)
        let unknown = try OCSPAnswer(der: try register.respond(to: try other.request()), about: other, now: now)
        #expect(unknown.status == .unknown)
        try register.set(leaf.certificate, .revoked("keyCompromise"))
        let revoked = try OCSPAnswer(der: try register.respond(to: try other.request()), about: other, now: now)
        #expect(revoked.status == .revoked(at: 1_767_225_600, reason: "keyCompromise"))
        let undated = try OCSPAnswer(der: try register.respond(to: request, options: []), about: subject, now: now)
        #expect(undated.validUntil == undated.thisUpdate + OCSPAnswer.validityWithoutNextUpdate)
    }

    /// The bytes are those that `openssl ocsp` sends.
    @Test func theRequest() throws {
        let file = register.directory + "/leaf.pem"
        try subject.certificate.pem.write(toFile: file, atomically: true, encoding: .utf8)
        try OCSPRegister.openssl([
            "ocsp", "-issuer", register.authority.certificate, "-cert", file, "-no_nonce", "-reqout", file + ".req",
        ])
        #expect(try subject.request() == [UInt8](Data(contentsOf: URL(fileURLWithPath: file + ".req"))))
    }

    /// Identifiers made with another digest than ours are of the same certificate.
    @Test func identifiersOfOtherDigests() throws {
        let file = register.directory + "/leaf.pem"
        try subject.certificate.pem.write(toFile: file, atomically: true, encoding: .utf8)
        try OCSPRegister.openssl([
            "ocsp", "-sha256", "-issuer", register.authority.certificate, "-cert", file, "-no_nonce", "-reqout",
            file + ".req",
        ])
        let request = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file + ".req")))
        #expect(try OCSPAnswer(der: try register.respond(to: request), about: subject, now: now).status == .good)
    }

    @Test func times() throws {
        let response = try register.respond(to: try subject.request(), options: ["-nmin", "10"])
        let answer = try OCSPAnswer(der: response, about: subject, now: now)
        let skew = OCSPAnswer.clockSkew
        #expect(answer.validUntil == answer.thisUpdate + 600)
        #expect(code(response, at: answer.validUntil + skew - 1) == nil)
        #expect(code(response, at: answer.validUntil + skew) == .expired)
        #expect(code(response, at: answer.thisUpdate - skew - 1) == .notYetValid)
        #expect(answer.isValid(at: answer.validUntil + skew - 1) && !answer.isValid(at: answer.validUntil + skew))
    }

    /// Only the issuer, and whom it has given a certificate for this.
    @Test func whoMaySign() throws {
        let request = try subject.request()
        let usage = ["extendedKeyUsage=OCSPSigning", "keyUsage=digitalSignature"]
        let delegate = try register.issue("delegate", extensions: usage)
        #expect(code(try register.respond(to: request, signer: delegate)) == nil)
        let plain = try register.issue("plain", extensions: ["extendedKeyUsage=serverAuth,clientAuth"])
        #expect(code(try register.respond(to: request, signer: plain)) == .unauthorizedSigner)
        let bare = try register.issue("bare")
        #expect(code(try register.respond(to: request, signer: bare)) == .unauthorizedSigner)
        // A delegate's own certificate ends as well.
        let brief = try register.issue("brief", extensions: usage, options: ["-days", "1"])
        let lasting = try register.respond(to: request, signer: brief, options: ["-ndays", "3"])
        #expect(code(lasting) == nil && code(lasting, at: now + 2 * day) == .unauthorizedSigner)
        let stranger = try OCSPRegister(in: Self.root, name: "Stranger CA")
        #expect(code(try register.respond(to: request, signer: stranger.authority)) == .unauthorizedSigner)
        let theirs = try stranger.issue("delegate", extensions: usage)
        #expect(code(try register.respond(to: request, signer: theirs)) == .unauthorizedSigner)
        // The name of the CA alone is not the CA.
        let double = try OCSPRegister(in: Self.root, name: "Register CA")
        #expect(code(try register.respond(to: request, signer: double.authority)) == .badSignature)
        #expect(code(try register.respond(to: request, options: ["-ndays", "1", "-rmd", "sha1"])) == .weakSignature)
    }

    /// A CA between leaf and root says what becomes of its certificates, and the root does not.
    @Test func issuersThatAreNoRoots() throws {
        let root = try OCSPRegister(in: Self.root, name: "Upper CA")
        let middle = try OCSPRegister(in: Self.root, name: "Middle CA", under: root)
        let leaf = try middle.issue("leaf")
        try middle.set(leaf.certificate, .good)
        let subject = OCSPSubject(try Self.load(leaf), issuer: try Self.load(middle.authority))
        let request = try subject.request()
        #expect(code(try middle.respond(to: request), about: subject) == nil)
        #expect(code(try middle.respond(to: request, signer: root.authority), about: subject) == .unauthorizedSigner)
    }

    @Test func otherCertificates() throws {
        let leaf = try register.issue("other")
        try register.set(leaf.certificate, .good)
        let other = OCSPSubject(try Self.load(leaf), issuer: subject.issuer)
        #expect(code(try register.respond(to: try other.request())) == .wrongCertificate)
        // Serial numbers are an issuer's own: the same one of another CA is another certificate.
        let stranger = try OCSPRegister(in: Self.root, name: "Stranger CA")
        let same = OCSPSubject(subject.certificate, issuer: try Self.load(stranger.authority))
        #expect(code(try register.respond(to: try subject.request()), about: same) == .wrongCertificate)
    }

    @Test func garbage() throws {
        let good = try register.respond(to: try subject.request())
        for length in 0..<good.count { #expect(code(Array(good[..<length])) == .malformed, "\(length) bytes") }
        #expect(code(good + [0]) == .malformed)
        #expect(code(Array("<html>no such page</html>".utf8)) == .malformed)
        #expect(code([UInt8](repeating: 0x30, count: OCSPAnswer.sizeLimit + 1)) == .malformed)
        #expect(code([0x30, 0x03, 0x0A, 0x01, 0x03]) == .responderError)
        #expect(code([0x30, 0x03, 0x0A, 0x01, 0x00]) == .malformed)
        // Whichever byte is changed, no other state comes of it, and none of what is signed may change; certificates that come
        // along may.
        let signed = try signedPart(of: good)
        #expect(signed.count > 100 && signed.count < good.count / 2)
        for index in good.indices {
            var bytes = good
            bytes[index] ^= 0x01
            guard let answer = try? OCSPAnswer(der: bytes, about: subject, now: now) else { continue }
            #expect(answer.status == .good && answer.thisUpdate <= now)
            #expect(!signed.contains(index), "byte \(index) of a response, signed \(signed)")
        }
    }

    /// Where the ResponseData lies in a response (RFC 6960, section 4.2.1): the first element of the BasicOCSPResponse, which is
    /// in an OCTET STRING behind an OBJECT IDENTIFIER, in turn behind the status.
    private func signedPart(of response: [UInt8]) throws -> Range<Int> {
        /// The content of the element that begins at `start`.
        func content(_ start: Int) throws -> Range<Int> {
            let first = Int(response[start + 1])
            guard first >= 0x80 else { return start + 2..<start + 2 + first }
            let lengthEnd = start + 2 + (first & 0x7F)
            let length = response[start + 2..<lengthEnd].reduce(0) { $0 << 8 | Int($1) }
            try #require(lengthEnd + length <= response.count)
            return lengthEnd..<lengthEnd + length
        }
        let status = try content(content(0).lowerBound)
        let type = try content(content(content(status.upperBound).lowerBound).lowerBound)
        let basic = try content(content(type.upperBound).lowerBound)
        return basic.lowerBound..<(try content(basic.lowerBound).upperBound)
    }

    // MARK: - Staples

    @Test func stapleReviews() throws {
        func review(_ staple: [UInt8]?, _ chain: [Certificate]) -> (StapleReview.Outcome?, CertificateReason?) {
            var outcome: StapleReview.Outcome?
            let reason = reason { outcome = try StapleReview.review(staple, of: chain, now: now) }
            return (outcome, reason)
        }
        let issuer = subject.issuer
        let demanding = try register.issue("demanding", extensions: ["tlsfeature=status_request"])
        try register.set(demanding.certificate, .good)
        let strict = try Self.load(demanding)
        #expect(strict.demandsStaple && !subject.certificate.demandsStaple)
        let good = try register.respond(to: try subject.request())
        let own = try register.respond(to: try OCSPSubject(strict, issuer: issuer).request())

        #expect(review(nil, [subject.certificate, issuer]) == (.absent, nil))
        #expect(review(good, [subject.certificate, issuer]).0?.answer?.status == .good)
        #expect(review([1, 2], [subject.certificate, issuer]).0?.code == "malformed")
        #expect(review(own, [subject.certificate, issuer]).0?.code == "wrong_certificate")
        #expect(review(nil, [issuer]) == (.absent, nil))

        #expect(review(own, [strict, issuer]).0?.code == "good")
        #expect(review(nil, [strict, issuer]).1 == .stapleMissing)
        #expect(review([], [strict, issuer]).1 == .stapleMissing)
        #expect(review([1, 2], [strict, issuer]).1 == .badStaple)
        #expect(review(good, [strict, issuer]).1 == .badStaple)

        try register.set(demanding.certificate, .revoked("superseded"))
        let revoked = try register.respond(to: try OCSPSubject(strict, issuer: issuer).request())
        #expect(review(revoked, [strict, issuer]).1 == .revoked)
        let stranger = try register.issue("stranger")
        let unknown = OCSPSubject(try Self.load(stranger), issuer: issuer)
        #expect(
            review(try register.respond(to: try unknown.request()), [unknown.certificate, issuer]) == (.unknown, nil))
    }

    @Test func whatACertificateNames() throws {
        let leaf = try Self.load(
            try register.issue(
                "named",
                extensions: [
                    "authorityInfoAccess=OCSP;URI:http://a.test/x,caIssuers;URI:http://c.test,OCSP;URI:ldap://b"
                ]))
        #expect(leaf.responders == ["http://a.test/x", "ldap://b"])
        #expect(subject.certificate.responders == [])
        let chain = [subject.certificate]
        #expect(OCSPSubject(own: chain, roots: [subject.issuer])?.issuer == subject.issuer)
        #expect(OCSPSubject(own: chain, roots: [leaf]) == nil)
        #expect(OCSPSubject(chain: chain) == nil)
    }
}
