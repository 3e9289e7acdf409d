/** What a connection says first, which tells what it is for. One that says nothing in time is closed. */
import type { Socket } from 'node:net';
import type { Millis, Scheduler } from '../../platform/index.ts';

/** From the accept to the first word. */
const FIRST_WORD_MS: Millis = 10_000;
/** What HTTP/2 begins with (RFC 9113 §3.4); the opening of a direct connection is as long. */
export const FIRST_WORD_BYTES = 24;
/** First byte of a TLS handshake. Its first record is heard whole: the name of the protocol is in it. */
const TLS_HANDSHAKE = 0x16;
const TLS_LENGTH_AT = 3;
const TLS_HEADER_BYTES = 5;

const wordBytes = (heard: Buffer): number =>
  heard[0] === TLS_HANDSHAKE ? TLS_HEADER_BYTES + heard.readUInt16BE(TLS_LENGTH_AT) : FIRST_WORD_BYTES;

/** Calls back with what a socket has said once that is its first word, and maybe more; the socket is paused then. */
export function awaitFirstWord(socket: Socket, scheduler: Scheduler, onSpoken: (heard: Buffer) => void): void {
  const cancel = scheduler.after(FIRST_WORD_MS, () => socket.destroy());
  let heard: Buffer = Buffer.alloc(0);
  const onError = (): unknown => socket.destroy();
  const onData = (chunk: Buffer): void => {
    heard = heard.length === 0 ? chunk : Buffer.concat([heard, chunk]);
    if (heard.length < TLS_HEADER_BYTES || heard.length < wordBytes(heard)) return;
    cancel();
    socket.off('data', onData).off('error', onError).off('close', cancel).pause();
    onSpoken(heard);
  };
  socket.on('data', onData).on('error', onError).once('close', cancel).resume();
}
