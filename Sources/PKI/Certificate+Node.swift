extension Certificate {
    /// The node that the certificate is of, as it says itself: by its SPIFFE ID, else by its common name; nil where it has
    /// neither.
    public var certifiedNode: String? {
        spiffeURIs.first.flatMap { try? SPIFFEID(parsing: $0) }?.nodeName ?? commonName
    }
}
