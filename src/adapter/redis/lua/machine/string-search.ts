/** `find`, `match`, `gmatch` and `gsub` of Lua's strings, over patterns whose work counts. */
import {
  BYTES_PER_INSTRUCTION,
  type Library,
  type LuaApi,
  LuaType,
  libraryFunction,
  upvalueIndex,
} from '../engine/index.ts';
import { type Capture, isPlain, PatternError, PatternMatcher } from './pattern.ts';
import type { Spend } from './spending.ts';

const ESCAPE = 0x25;
const ZERO = 0x30;
const NINE = 0x39;
/** A step of a search takes as long as so many instructions. */
const INSTRUCTIONS_A_STEP = 4;
/** Loops of `gmatch` whose texts are at hand; another one's are copied again. */
const MAX_LOOPS = 4;

/** What a loop of `gmatch` takes with it. */
const LoopValue = { Text: 1, Pattern: 2, Place: 3, Number: 4 } as const;

/** @param spend counts steps and bytes */
export function stringSearch(api: LuaApi, spend: Spend): Library {
  const loops = new Map<number, PatternMatcher>();
  let loopNumber = 0;

  const bytesAt = (state: number, argument: number): Buffer => {
    const bytes = api.checkBytes(state, argument);
    spend(state, bytes.length / BYTES_PER_INSTRUCTION);
    return bytes;
  };
  /** Which thread searches: a loop may go on in another one. */
  let current = 0;
  const matcher = (text: Buffer, pattern: Buffer, mayBeAnchored: boolean): PatternMatcher =>
    new PatternMatcher(text, pattern, mayBeAnchored, (steps) => spend(current, steps * INSTRUCTIONS_A_STEP));

  const searching = (state: number, search: () => number): number => {
    current = state;
    try {
      return search();
    } catch (error) {
      if (error instanceof PatternError) return api.raiseHere(state, error.message);
      throw error;
    }
  };
  const push = (state: number, capture: Capture): void => {
    if (typeof capture === 'number') api.pushNumber(state, capture);
    else api.pushBytes(state, capture);
  };
  const pushCaptures = (state: number, found: PatternMatcher, orWhole: boolean): number => {
    const count = found.captureCount(orWhole);
    if (!api.hasRoom(state, count)) return api.raiseHere(state, 'stack overflow (too many captures)');
    for (let index = 0; index < count; index++) push(state, found.capture(index));
    return count;
  };

  const findOrMatch = (state: number, isFind: boolean): number => {
    const text = bytesAt(state, 1);
    const pattern = bytesAt(state, 2);
    const from = placeOf(api.isNone(state, 3) ? 1 : Math.trunc(api.checkNumber(state, 3)), text.length);
    if (isFind && (api.toBoolean(state, 4) || isPlain(pattern))) {
      const at = text.indexOf(pattern, from);
      if (at < 0) {
        api.pushNil(state);
        return 1;
      }
      api.pushNumber(state, at + 1);
      api.pushNumber(state, at + pattern.length);
      return 2;
    }
    return searching(state, () => {
      const found = matcher(text, pattern, true);
      if (!found.search(from)) {
        api.pushNil(state);
        return 1;
      }
      if (!isFind) return pushCaptures(state, found, true);
      api.pushNumber(state, found.start + 1);
      api.pushNumber(state, found.end);
      return 2 + pushCaptures(state, found, false);
    });
  };

  const matcherOfLoop = (state: number, number: number): PatternMatcher => {
    const known = loops.get(number);
    if (known !== undefined) return known;
    const text = bytesAt(state, upvalueIndex(LoopValue.Text));
    const found = matcher(text, bytesAt(state, upvalueIndex(LoopValue.Pattern)), false);
    if (loops.size >= MAX_LOOPS) loops.delete(loops.keys().next().value!);
    loops.set(number, found);
    return found;
  };
  const nextOfLoop = libraryFunction(api, (state) => {
    const number = api.toNumber(state, upvalueIndex(LoopValue.Number));
    const found = matcherOfLoop(state, number);
    return searching(state, () => {
      if (!found.search(api.toNumber(state, upvalueIndex(LoopValue.Place)))) {
        loops.delete(number);
        return 0;
      }
      api.pushNumber(state, found.end === found.start ? found.end + 1 : found.end);
      api.replace(state, upvalueIndex(LoopValue.Place));
      return pushCaptures(state, found, true);
    });
  });

  /** What a match is replaced by. @param template undefined where the third argument is a function or a table */
  const replacement = (state: number, found: PatternMatcher, template: Buffer | undefined): Buffer => {
    if (template !== undefined) return expand(template, found);
    if (api.type(state, 3) === LuaType.Function) {
      api.pushValue(state, 3);
      api.call(state, pushCaptures(state, found, true), 1);
    } else {
      push(state, found.capture(0));
      api.getTable(state, 3);
    }
    let bytes: Buffer;
    if (!api.toBoolean(state, -1)) bytes = found.whole;
    else if (api.isText(state, -1)) bytes = api.toBytes(state, -1)!;
    else return api.raiseHere(state, `invalid replacement value (a ${api.typeName(state, -1)})`);
    api.pop(state, 1);
    return bytes;
  };

  const gmatch = (state: number): number => {
    // The loop copies both, when it begins.
    api.requireText(state, 1);
    api.requireText(state, 2);
    api.setTop(state, 2);
    api.pushNumber(state, 0);
    loopNumber += 1;
    api.pushNumber(state, loopNumber);
    api.pushFunction(state, nextOfLoop, 4);
    return 1;
  };

  return {
    find: (state) => findOrMatch(state, true),
    match: (state) => findOrMatch(state, false),
    gmatch,
    // The name that it had in Lua 5.0.
    gfind: gmatch,
    gsub: (state) => {
      const text = bytesAt(state, 1);
      const pattern = bytesAt(state, 2);
      const most = api.isNone(state, 4) ? text.length + 1 : Math.trunc(api.checkNumber(state, 4));
      const type = api.type(state, 3);
      const template = api.isText(state, 3) ? bytesAt(state, 3) : undefined;
      if (template === undefined && type !== LuaType.Table && type !== LuaType.Function)
        return api.argumentError(state, 3, 'string/function/table expected');
      return searching(state, () => {
        const found = matcher(text, pattern, true);
        const parts: Buffer[] = [];
        let kept = 0;
        let at = 0;
        let count = 0;
        while (count < most) {
          const isMatch = found.matchAt(at);
          if (isMatch) {
            count += 1;
            const replaced = replacement(state, found, template);
            parts.push(text.subarray(kept, at), replaced);
            current = state;
            kept = found.end;
            spend(state, INSTRUCTIONS_A_STEP + replaced.length / BYTES_PER_INSTRUCTION);
          }
          if (isMatch && found.end > at) at = found.end;
          else if (at < text.length) at += 1;
          else break;
          if (found.isAnchored) break;
        }
        parts.push(text.subarray(kept));
        api.pushBytes(state, Buffer.concat(parts));
        api.pushNumber(state, count);
        return 2;
      });
    },
  };
}

/** Where a search begins, from 0. @param place from 1, or from the end when it is negative */
function placeOf(place: number, length: number): number {
  const fromStart = place < 0 ? Math.max(0, place + length + 1) : place;
  return Math.min(Math.max(0, fromStart - 1), length);
}

/** The text of a replacement with captures in it. */
function expand(template: Buffer, found: PatternMatcher): Buffer {
  let mark = template.indexOf(ESCAPE);
  if (mark < 0) return template;
  const parts: Buffer[] = [];
  let kept = 0;
  for (; mark >= 0; mark = template.indexOf(ESCAPE, kept)) {
    parts.push(template.subarray(kept, mark));
    kept = mark + 2;
    // Behind the end stands a zero byte.
    const sign = template[mark + 1] ?? 0;
    if (sign < ZERO || sign > NINE) parts.push(Buffer.of(sign));
    else if (sign === ZERO) parts.push(found.whole);
    else {
      const capture = found.capture(sign - ZERO - 1);
      parts.push(typeof capture === 'number' ? Buffer.from(String(capture)) : capture);
    }
  }
  parts.push(template.subarray(kept));
  return Buffer.concat(parts);
}
