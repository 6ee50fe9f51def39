//! Datagrams that the kernel dropped because a socket's receive buffer was full: nobody else knows of them.
//!
//! Linux counts them for each socket, in the last column of `/proc/net/udp` and `udp6`; the socket is found by its inode. A
//! file is read, so this is not for the loops: the main thread asks every second.

use nix::sys::stat::fstat;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

/// The count of one socket. Copies of it count together: none of them tells what another has told.
#[derive(Clone)]
pub struct Dropped {
    inode: u64,
    told: Arc<AtomicU64>,
}

impl Dropped {
    /// From now on.
    pub fn of(socket: &UdpSocket) -> Option<Dropped> {
        let inode = fstat(socket).ok()?.st_ino;
        let told = Arc::new(AtomicU64::new(count(inode)?));
        Some(Dropped { inode, told })
    }

    /// Those since it was asked last; 0 where that cannot be known.
    pub fn more(&self) -> u64 {
        let Some(now) = count(self.inode) else { return 0 };
        now.saturating_sub(self.told.fetch_max(now, Relaxed))
    }
}

fn count(inode: u64) -> Option<u64> {
    let files = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    files.iter().find_map(|file| in_table(&std::fs::read_to_string(file).ok()?, inode))
}

/// The last column of the line with this inode.
fn in_table(table: &str, inode: u64) -> Option<u64> {
    let mut lines = table.lines().skip(1).map(|line| line.split_ascii_whitespace());
    let mut columns =
        lines.find(|columns| columns.clone().nth(9).and_then(|c| c.parse().ok()) == Some(inode))?;
    columns.next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_inode_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            100: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n\
            101: 0100007F:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0\n";
        assert_eq!(in_table(table, 4711), Some(12));
        assert_eq!(in_table(table, 4712), Some(0));
        assert_eq!(in_table(table, 47), None);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
        // Where there is no /proc there is nothing to be seen.
        let Some(dropped) = Dropped::of(&socket) else { return };
        assert_eq!(dropped.more(), 0);
        let to = socket.local_addr().unwrap();
        for _ in 0..100 {
            socket.send_to(&[0; 1000], to).unwrap();
        }
        let n = dropped.more();
        assert!((50..100).contains(&n), "{n}");
        assert_eq!(dropped.more(), 0);
    }
}
