"""Certificates for the TLS cases, made by openssl and keytool in a directory of the run; keys for agents that use them.

`ca` has signed `server` (localhost and 127.0.0.1) and `client`; `stranger` has signed itself only. `keytool` has made a
pair of its own, which nobody signed. Every password is `secret`.
"""
import os, ssl, subprocess

from children import DEADLINE

PASSWORD = "secret"


class Certificates:
    def __init__(self, directory, java=True):
        """Without `java`, only what openssl makes."""
        self.directory = directory
        os.makedirs(directory)
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Interop CA",
                     "-keyout", "ca.key", "-out", "ca.pem")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stranger",
                     "-keyout", "stranger.key", "-out", "stranger.pem")
        for name in ("server", "client"):
            with open(f"{directory}/{name}.ext", "w") as f:
                f.write("basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n")
            self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                         "-out", f"{name}.csr")
            self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                         "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
            self.openssl("pkcs12", "-export", "-inkey", f"{name}.key", "-in", f"{name}.pem", "-certfile", "ca.pem",
                         "-name", name, "-passout", f"pass:{PASSWORD}", "-out", f"{name}.p12")
        if java:
            self.keytool("-importcert", "-noprompt", "-alias", "ca", "-file", "ca.pem", "-keystore", "trust.jks",
                         "-storetype", "JKS")
            self.keytool("-importcert", "-noprompt", "-alias", "ca", "-file", "ca.pem", "-keystore", "trust.p12",
                         "-storetype", "PKCS12")
            self.keytool("-importkeystore", "-noprompt", "-srckeystore", "server.p12", "-srcstorepass", PASSWORD,
                         "-srcstoretype", "PKCS12", "-destkeystore", "server.jks", "-deststoretype", "JKS",
                         store="-deststorepass")
            self.keytool("-genkeypair", "-alias", "flume", "-keyalg", "RSA", "-keysize", "2048", "-validity", "2",
                         "-dname", "CN=keytool", "-keystore", "keytool.p12", "-storetype", "PKCS12")
            self.keytool("-exportcert", "-rfc", "-alias", "flume", "-keystore", "keytool.p12", "-file", "keytool.pem")
            self.keytool("-importcert", "-noprompt", "-alias", "flume", "-file", "keytool.pem", "-keystore",
                         "keytool-trust.jks", "-storetype", "JKS")

    def openssl(self, *words):
        self.run("openssl", *words)

    def keytool(self, verb, *words, store="-storepass"):
        self.run("keytool", verb, store, PASSWORD, *words)

    def run(self, *command):
        made = subprocess.run(command, cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE)
        assert made.returncode == 0, f"{command[:2]}: {made.stdout}{made.stderr}"

    def path(self, name):
        return f"{self.directory}/{name}"

    def store(self, key, name):
        """`key` is keystore or truststore, `name` the file's: its end says what it is."""
        kind = {"jks": "JKS", "p12": "PKCS12", "pem": "PEM"}[name.rpartition(".")[2]]
        return {"ssl": "true", key: self.path(name), f"{key}-password": PASSWORD, f"{key}-type": kind}

    def pem(self, name):
        return {"ssl": "true", "certificate": self.path(f"{name}.pem"), "private-key": self.path(f"{name}.key")}

    def mutual(self):
        """For a source that asks for a certificate, and for a sink that has one."""
        return ({**self.store("keystore", "server.p12"), **self.store("truststore", "ca.pem"), "client-auth": "need"},
                {**self.store("truststore", "trust.p12"), **self.pem("client"), "verify-hostname": "true"})

    def context(self, server=False, own=None, trust="ca", version=None):
        """Python's: `own` and `trust` are names of certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        if own:
            context.load_cert_chain(self.path(f"{own}.pem"), self.path(f"{own}.key"))
        if trust:
            context.load_verify_locations(self.path(f"{trust}.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        if version:
            context.minimum_version = context.maximum_version = version
        return context
