/** A process that fills its heap, lets go of it and rests; ends with 0 once the memory is given back, with 1 when that never happens. */
import { keepHeapWithin } from '../../cmd/cli/heap-limits.ts';

const MIB = 1024 ** 2;
const PATIENCE_MS = 60_000;

keepHeapWithin(2048 * MIB);
const emptyBytes = process.memoryUsage.rss();
let held: { readonly number: number; readonly text: string }[] = [];
for (let number = 0; number < Number(process.argv[2]); number++) held.push({ number, text: String(number) });
// The listener hears of markings in turns of its own.
await new Promise((resolve) => setTimeout(resolve, 100));
const fullBytes = process.memoryUsage.rss();
const lastText = held.at(-1)?.text;
held = [];
// Heartbeats and timers: with so much of them V8 does not take the process for one that rests.
let noise: object[] = [];
const beat = setInterval(() => {
  noise = Array.from({ length: 4_000 }, (_, number) => ({ number, noise: noise.length }));
}, 50);
const deadlineMs = performance.now() + PATIENCE_MS;
const look = setInterval(() => {
  const isBack = process.memoryUsage.rss() < emptyBytes + (fullBytes - emptyBytes) / 4;
  if (!isBack && performance.now() < deadlineMs) return;
  clearInterval(look);
  clearInterval(beat);
  if (!isBack) console.error(`${process.memoryUsage.rss()} bytes after ${fullBytes}, last ${lastText}`);
  process.exitCode = isBack ? 0 : 1;
}, 200);
