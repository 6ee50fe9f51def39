//! A build without TLS: everything is there for those who use it, and says that it is not.

use super::{Doubt, Fault, Lists, Options, Reading, What};
use std::convert::Infallible;
use std::io::{self, Read};
use std::path::Path;

const ABSENT: &str = "this flumed was built without TLS (cargo's feature tls)";

fn absent() -> Fault {
    Fault::new(What::Identity, ABSENT)
}

#[derive(Clone)]
pub struct Server;

impl Server {
    pub fn new(_: &str, _: Options) -> Result<Server, Fault> {
        Err(absent())
    }

    pub fn or_later(_: &str, _: Options) -> Server {
        Server
    }

    pub fn asks_the_same(&self, _: &Server) -> bool {
        true
    }

    pub fn accept(&self) -> Result<Session, String> {
        Err(ABSENT.to_owned())
    }
}

#[derive(Clone)]
pub struct Client;

impl Client {
    pub fn new(_: &str, _: Options) -> Result<Client, Fault> {
        Err(absent())
    }

    pub fn connect(&self, _: &str) -> Result<Session, String> {
        Err(ABSENT.to_owned())
    }
}

/// There is none.
pub struct Session(Infallible);

impl Session {
    pub fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub fn has_just_shaken(&mut self) -> bool {
        match self.0 {}
    }

    pub fn is_refused(&self) -> bool {
        match self.0 {}
    }

    pub fn held(&self) -> usize {
        match self.0 {}
    }

    pub fn describe(&self) -> String {
        match self.0 {}
    }

    pub fn shake(&mut self, _: &mut dyn Read) -> io::Result<usize> {
        match self.0 {}
    }

    pub fn read(&mut self, _: &mut dyn Read, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub fn put(&mut self, _: &[u8], _: &mut Vec<u8>) {
        match self.0 {}
    }

    pub fn take_records(&mut self, _: &mut Vec<u8>) {
        match self.0 {}
    }

    pub fn close(&mut self, _: &mut Vec<u8>) {
        match self.0 {}
    }
}

pub fn reread() -> Vec<Reading> {
    Vec::new()
}

pub fn jks(_: &Path) -> Option<String> {
    None
}

pub fn doubts(_: &Lists) -> Vec<Doubt> {
    Vec::new()
}

/// So that `ssl = true` is refused before anything runs.
pub fn fault(_: &Lists) -> Option<Fault> {
    Some(absent())
}
