import Bytes
import FuzzSupport
import PKI

private let authority = """
    MIIBaTCCAQ6gAwIBAgIUQACPz9zXc7/l2+1VMNe/18YnnQowCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHRnV6eiBDQT
    AeFw0yNjExMjkwOTQyMzhaFw0zNjExMjYwOTQyMzhaMBIxEDAOBgNVBAMMB0Z1enogQ0EwWTATBgcqhkjOPQIBBggq
    hkjOPQMBBwNCAARZZ+jT67q0lYQmRvV/WOwXwVak3cyhBD39JlbR6t6kT6RKRqDkDe4XLyCNHYjfJtDGxzavgLcA2A
    ZNRGt5iF1vo0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUCzaSSuySLUN/VLKL
    oR2kV7MxZXswCgYIKoZIzj0EAwIDSQAwRgIhANcvj3Ff0i2KWoTyvY8prFQO4Tre52/XZBglGojojd6EAiEA39zDpS
    rd5zJeDP2rfE/Bb1ekP8gyBjfz79u/bJf+NeA=
    """

private let leaf = """
    MIIBhzCCASygAwIBAgIULeJcGkdWJbhMjPYrBdfiPrTnE74wCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHRnV6eiBDQT
    AeFw0yNjExMjkwOTQyMzhaFw0zNjExMjYwOTQyMzhaMA8xDTALBgNVBAMMBGxlYWYwWTATBgcqhkjOPQIBBggqhkjO
    PQMBBwNCAAQZomm9nrUKrcgqcxoLUpueKqWsptBQEz6Z+o1dZCKrzCtrgWyt6cHE8xJlfJ6/8QFPI1Zgtl6o/NTAUC
    3lIazDo2MwYTAMBgNVHRMBAf8EAjAAMBEGCCsGAQUFBwEYBAUwAwIBBTAdBgNVHQ4EFgQU9Bps5Cuu4Ut2pl6x4L4b
    shbIZSAwHwYDVR0jBBgwFoAUCzaSSuySLUN/VLKLoR2kV7MxZXswCgYIKoZIzj0EAwIDSQAwRgIhAJO1H25t0bEcSl
    KdzYoE80trtS0lcCHB6ywxGN5/czwXAiEA6E0NEOuZjP5PfGnuYOXRiM/KuGtimDCrL7LyN5X1Tg4=
    """

private let subject: OCSPSubject = {
    func certificate(_ text: String) -> Certificate {
        guard let der = Base64.decode(text.filter { !$0.isWhitespace }), let made = try? Certificate(der: der) else {
            fatalError("the target's own certificates cannot be read")
        }
        return made
    }
    return OCSPSubject(certificate(leaf), issuer: certificate(authority))
}()

/// A second after the responses of the corpus were made.
private let now: Int64 = 1795945358

/// Any bytes as an OCSP response about a certificate that demands one: refused with words, or read in a way that holds together.
/// What is accepted was signed with a key that is gone, so nothing but the corpus's own states can come of it.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeRawBufferPointer(start: start, count: count))
    var answer: OCSPAnswer?
    do throws(OCSPError) {
        let read = try OCSPAnswer(der: input, about: subject, now: now)
        require(read.der == input, "the answer has other bytes than it was read from")
        require(read.thisUpdate < read.validUntil, "an answer that ends before it begins")
        require(read.isValid(at: now), "an answer that has ended was accepted")
        answer = read
    } catch {
        require(!error.message.isEmpty, "an error without words")
    }
    do throws(CertificateError) {
        let outcome = try StapleReview.review(input, of: [subject.certificate, subject.issuer], now: now)
        require(outcome.answer != nil && outcome.answer == answer, "one that says nothing passed")
    } catch {
        require(!error.message.isEmpty && !error.hint.isEmpty, "an error without words")
        require(answer?.status != .good, "a good staple was refused")
    }
    return 0
}
