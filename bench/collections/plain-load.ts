/** Loads that redis-benchmark cannot make, over plain sockets: commands that differ from one to the next, and the filling of collections. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createHistogram, performance } from 'node:perf_hooks';
import type { LoadFigures } from '../peers/peer.ts';

const CRLF = Buffer.from('\r\n');
/** Commands under way while a collection is filled. */
const FILLING_WINDOW = 64;

function encode(args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
  return text;
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  await once(socket, 'connect');
  return socket;
}

/** Calls `onReply` for each reply of one line. @throws through `onError` when one is an error */
function readLines(socket: Socket, onReply: () => void, onError: (error: Error) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = bytes.indexOf(CRLF); end >= 0; end = bytes.indexOf(CRLF)) {
      if (bytes[0] === 0x2d) onError(new Error(bytes.toString('latin1', 0, end)));
      else onReply();
      bytes = bytes.subarray(end + CRLF.length);
    }
    rest = bytes;
  });
  socket.on('error', onError);
}

/** Sends all commands, each answered with one line, some at a time. @throws Error of the first that is refused */
export async function fill(port: number, commands: Iterable<string[]>): Promise<void> {
  const socket = await open(port);
  try {
    const source = commands[Symbol.iterator]();
    let underWay = 0;
    let isOver = false;
    await new Promise<void>((resolve, reject) => {
      const send = (): void => {
        while (!isOver && underWay < FILLING_WINDOW) {
          const next = source.next();
          if (next.done === true) isOver = true;
          else {
            underWay += 1;
            socket.write(encode(next.value));
          }
        }
        if (isOver && underWay === 0) resolve();
      };
      const replied = (): void => {
        underWay -= 1;
        send();
      };
      readLines(socket, replied, reject);
      send();
    });
  } finally {
    socket.destroy();
  }
}

/** Clients that send the next command when the one before was answered. `commandOf` is asked for each, all clients counted together. */
export async function loadInTurn(
  port: number,
  clients: number,
  seconds: number,
  commandOf: (at: number) => readonly string[],
): Promise<LoadFigures> {
  const sockets = await Promise.all(Array.from({ length: clients }, () => open(port)));
  const latenciesUs = createHistogram();
  const utilization = performance.eventLoopUtilization();
  const startedMs = performance.now();
  const stopAtMs = startedMs + seconds * 1000;
  let at = 0;
  try {
    await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<void>((resolve, reject) => {
            let sentMs = 0;
            const send = (): void => {
              sentMs = performance.now();
              if (sentMs >= stopAtMs) resolve();
              else socket.write(encode(commandOf(at++)));
            };
            const replied = (): void => {
              latenciesUs.record(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
              send();
            };
            readLines(socket, replied, reject);
            send();
          }),
      ),
    );
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  return {
    perSecond: latenciesUs.count / ((performance.now() - startedMs) / 1000),
    p50Ms: latenciesUs.percentile(50) / 1000,
    p99Ms: latenciesUs.percentile(99) / 1000,
    commands: latenciesUs.count,
    clientBusy: performance.eventLoopUtilization(utilization).utilization,
  };
}
