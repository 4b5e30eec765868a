package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// What is needed of RFC 9260: the four packets that open an association, and the one that ends it.
// They go through raw sockets, so that routes, NAT, conntrack and policies see SCTP.
const (
	protocol   = syscall.IPPROTO_SCTP
	header     = 12
	initChunk  = 1
	initAck    = 2
	abort      = 6
	cookieEcho = 10
	cookieAck  = 11
	cookie     = 7 // a parameter of INIT ACK
	again      = time.Second
)

type packet struct {
	from, to uint16
	tag      uint32
	kind     byte
	body     []byte
}

func (p packet) bytes() []byte {
	made := binary.BigEndian.AppendUint16(nil, p.from)
	made = binary.BigEndian.AppendUint16(made, p.to)
	made = binary.BigEndian.AppendUint32(made, p.tag)
	made = append(made, 0, 0, 0, 0, p.kind, 0)
	made = binary.BigEndian.AppendUint16(made, uint16(4+len(p.body)))
	made = append(made, p.body...)
	sum := crc32.Checksum(made, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(made[8:], sum)
	return made
}

func read(data []byte) (p packet, ok bool) {
	if len(data) < header+4 {
		return p, false
	}
	length := int(binary.BigEndian.Uint16(data[header+2:]))
	if length < 4 || header+length > len(data) {
		return p, false
	}
	return packet{
		from: binary.BigEndian.Uint16(data),
		to:   binary.BigEndian.Uint16(data[2:]),
		tag:  binary.BigEndian.Uint32(data[4:]),
		kind: data[header],
		body: data[header+4 : header+length],
	}, true
}

// initBody is that of INIT and INIT ACK: tag, window, streams out and in, first number.
func initBody(tag uint32) []byte {
	made := binary.BigEndian.AppendUint32(nil, tag)
	made = binary.BigEndian.AppendUint32(made, 65536)
	made = binary.BigEndian.AppendUint32(made, 1<<16|1)
	return binary.BigEndian.AppendUint32(made, tag)
}

func family(address net.IP) string {
	if address.To4() != nil {
		return fmt.Sprintf("ip4:%d", protocol)
	}
	return fmt.Sprintf("ip6:%d", protocol)
}

// connect opens an association and ends it; it exits as "agnhost connect" does.
func connect(target string, timeout time.Duration) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		fail("UNKNOWN: %v", err)
	}
	address, err := net.ResolveIPAddr("ip", host)
	if err != nil {
		fail("DNS: %v", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		fail("UNKNOWN: %v", err)
	}
	conn, err := net.DialIP(family(address.IP), nil, address)
	if err != nil {
		fail("OTHER: %v", err)
	}
	own := packet{from: uint16(32768 + rand.IntN(28000)), to: uint16(number)}
	tag := rand.Uint32() | 1
	end := time.Now().Add(timeout)

	own.kind, own.body = initChunk, initBody(tag)
	answer := ask(conn, own, tag, initAck, end)
	if len(answer.body) < 20 {
		fail("OTHER: an INIT ACK without a cookie")
	}
	own.tag = binary.BigEndian.Uint32(answer.body)
	own.kind, own.body = cookieEcho, answer.body[20:]
	ask(conn, own, tag, cookieAck, end)
	own.kind, own.body = abort, nil
	conn.Write(own.bytes())
	os.Exit(0)
}

// ask sends a packet each second until it is answered.
func ask(conn *net.IPConn, asked packet, tag uint32, wanted byte, end time.Time) packet {
	buffer := make([]byte, 2048)
	for time.Now().Before(end) {
		if _, err := conn.Write(asked.bytes()); err != nil {
			fail("OTHER: %v", err)
		}
		until := time.Now().Add(again)
		if until.After(end) {
			until = end
		}
		conn.SetReadDeadline(until)
		for {
			length, _, err := conn.ReadFromIP(buffer)
			if failed, ok := err.(net.Error); ok && failed.Timeout() {
				break
			} else if err != nil {
				fail("OTHER: %v", err)
			}
			found, ok := read(buffer[:length])
			if ok && found.from == asked.to && found.to == asked.from && found.tag == tag {
				if found.kind == abort {
					fail("REFUSED")
				}
				if found.kind == wanted {
					return found
				}
			}
		}
	}
	fail("TIMEOUT")
	return packet{}
}

// serveSCTP answers who opens an association on one of the ports, over both families.
func serveSCTP(ports []string) {
	served := map[uint16]bool{}
	for _, port := range ports {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			fail("UNKNOWN: %v", err)
		}
		served[uint16(number)] = true
	}
	for _, name := range []string{"ip4", "ip6"} {
		conn, err := net.ListenIP(fmt.Sprintf("%s:%d", name, protocol), nil)
		if err != nil {
			fail("OTHER: %v", err)
		}
		raw, err := conn.SyscallConn()
		if err != nil {
			fail("OTHER: %v", err)
		}
		raw.Control(func(socket uintptr) {
			syscall.SetsockoptInt(int(socket), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
			syscall.SetsockoptInt(int(socket), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
		})
		go serve(conn, name, served)
	}
}

func serve(conn *net.IPConn, name string, served map[uint16]bool) {
	buffer, info := make([]byte, 2048), make([]byte, 256)
	for {
		length, infoLength, _, sender, err := conn.ReadMsgIP(buffer, info)
		if err != nil {
			fail("OTHER: %v", err)
		}
		data := buffer[:length]
		if name == "ip4" {
			data = data[min(length, int(data[0]&15)*4):]
		}
		asked, ok := read(data)
		if !ok || !served[asked.to] {
			continue
		}
		answer := packet{from: asked.to, to: asked.from}
		switch {
		case asked.kind == initChunk && len(asked.body) >= 16:
			answer.kind, answer.tag = initAck, binary.BigEndian.Uint32(asked.body)
			answer.body = append(initBody(rand.Uint32()|1), 0, cookie, 0, 8)
			answer.body = binary.BigEndian.AppendUint32(answer.body, answer.tag)
		case asked.kind == cookieEcho && len(asked.body) >= 4:
			answer.kind, answer.tag = cookieAck, binary.BigEndian.Uint32(asked.body)
		default:
			continue
		}
		// The answer has to come from the address that was asked, of which a node has several.
		conn.WriteMsgIP(answer.bytes(), source(info[:infoLength]), sender)
	}
}

// source makes, of where a packet was sent to, where its answer comes from.
func source(info []byte) []byte {
	messages, err := syscall.ParseSocketControlMessage(info)
	if err != nil || len(messages) == 0 {
		return nil
	}
	found := info[:syscall.CmsgLen(len(messages[0].Data))]
	made := append([]byte(nil), found...)
	if messages[0].Header.Level == syscall.IPPROTO_IP {
		// The interface stays open; the local address is in the second field of the structure.
		data := made[syscall.CmsgLen(0):]
		copy(data, []byte{0, 0, 0, 0})
	} else {
		// The interface follows the address of 16 bytes.
		data := made[syscall.CmsgLen(0):]
		copy(data[16:], []byte{0, 0, 0, 0})
	}
	return made
}
