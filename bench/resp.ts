/**
 * How fast is the Redis protocol layer alone? Parses pipelined requests out of 64 KiB chunks, as a socket delivers them,
 * and encodes replies into the segments that a socket would be given. One process, no socket, no store.
 *
 * Run: node bench/resp.ts [rounds]
 */
import { pathToFileURL } from 'node:url';
import { OK, type Reply } from '../src/adapter/redis/protocol/reply.ts';
import { ReplyWriter } from '../src/adapter/redis/protocol/reply-writer.ts';
import { RespParser } from '../src/adapter/redis/protocol/resp-parser.ts';
import { median } from './spread.ts';

const CHUNK_BYTES = 64 * 1024;
const COMMANDS = 400_000;

interface Figure {
  readonly what: string;
  readonly perSecond: number;
}

const LIMITS = { lineBytes: 65_536, bulkBytes: 536_870_912, argumentCount: 1_048_576, commandBytes: 1_073_741_824 };

/** A stream of `COMMANDS` commands, cut into chunks. */
function stream(make: (index: number) => readonly (string | Buffer)[]): Buffer[] {
  const parts: string[] = [];
  for (let index = 0; index < COMMANDS; index++) {
    const args = make(index);
    parts.push(`*${args.length}\r\n`);
    for (const arg of args) parts.push(`$${arg.length}\r\n${arg}\r\n`);
  }
  const all = Buffer.from(parts.join(''));
  const chunks: Buffer[] = [];
  for (let from = 0; from < all.length; from += CHUNK_BYTES) {
    chunks.push(Buffer.from(all.subarray(from, from + CHUNK_BYTES)));
  }
  return chunks;
}

function perSecond(operations: number, run: () => void): number {
  const started = performance.now();
  run();
  return operations / ((performance.now() - started) / 1000);
}

function measure(what: string, rounds: number, operations: number, run: () => void): Figure {
  run();
  return { what, perSecond: median(Array.from({ length: rounds }, () => perSecond(operations, run))) };
}

function parseAll(chunks: readonly Buffer[]): void {
  const parser = new RespParser(LIMITS);
  let count = 0;
  for (const chunk of chunks) {
    parser.push(chunk);
    while (parser.next() !== undefined) count++;
  }
  if (count !== COMMANDS) throw new Error(`parsed ${count} of ${COMMANDS} commands`);
}

function encodeAll(reply: Reply): void {
  const writer = new ReplyWriter();
  for (let index = 0; index < COMMANDS; index++) {
    writer.write(reply, 2);
    if (index % 16 === 15) writer.take();
  }
  writer.take();
}

/** All figures, medians of `rounds`. */
export function measureResp(rounds: number): Figure[] {
  const value = 'x'.repeat(100);
  const sets = stream((index) => ['SET', `key:${index}`, value]);
  const gets = stream((index) => ['GET', `key:${index}`]);
  return [
    measure('parse SET key 100 B value', rounds, COMMANDS, () => parseAll(sets)),
    measure('parse GET key', rounds, COMMANDS, () => parseAll(gets)),
    measure('encode +OK', rounds, COMMANDS, () => encodeAll(OK)),
    measure('encode 100 B bulk string', rounds, COMMANDS, () => encodeAll(Buffer.from(value))),
    measure('encode integer', rounds, COMMANDS, () => encodeAll(1234567)),
  ];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const { what, perSecond: rate } of measureResp(Number(process.argv[2] ?? 5))) {
    console.log(`${what.padEnd(28)} ${(rate / 1e6).toFixed(2).padStart(6)} M/s`);
  }
}
