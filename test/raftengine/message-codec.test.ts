import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupId, nodeId } from '../../src/platform/index.ts';
import type { Message } from '../../src/raftengine/core/types.ts';
import { MalformedFrameError } from '../../src/raftengine/errors.ts';
import { decodeMessages, encodeMessages } from '../../src/raftengine/wire/message-codec.ts';

/** Records as the program makes them, with a prototype. */
const record = <Model>(model: { readonly [Name in keyof Model]: fc.Arbitrary<Model[Name]> }): fc.Arbitrary<Model> =>
  fc.record<Model>(model as { [Name in keyof Model]: fc.Arbitrary<Model[Name]> }, { noNullPrototype: true });

const FROM = nodeId(1);
const TO = nodeId(2);
const u53 = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const index = fc.maxSafeNat().map((value) => Math.floor(value / 2));
const instant = fc.double({ noNaN: true, noDefaultInfinity: true });
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const nodes = fc.array(fc.integer({ min: 1, max: 65535 }).map(nodeId), { maxLength: 7 });
const conf = record({
  voters: nodes,
  votersOutgoing: nodes,
  learners: nodes,
  learnersNext: nodes,
  autoLeave: fc.boolean(),
});
const envelope = {
  groupId: fc.integer({ min: 1, max: 0xffffffff }).map(groupId),
  from: fc.constant(FROM),
  to: fc.constant(TO),
  term: u53,
};

const append = fc
  .record({
    ...envelope,
    prevIndex: index,
    prevTerm: u53,
    commitIndex: u53,
    sentAtMs: instant,
    bodies: fc.array(record({ term: u53, kind: fc.constantFrom(0, 1), payload }), { maxLength: 5 }),
  })
  .map(
    ({ bodies, ...rest }): Message => ({
      kind: 'append',
      ...rest,
      entries: bodies.map((body, at) => ({ ...body, index: rest.prevIndex + 1 + at }) as never),
    }),
  );

const message: fc.Arbitrary<Message> = fc.oneof(
  append,
  record({
    ...envelope,
    kind: fc.constant('appendResponse' as const),
    index: u53,
    reject: fc.boolean(),
    hintIndex: u53,
    hintTerm: u53,
    sentAtMs: instant,
  }),
  record({
    ...envelope,
    kind: fc.constant('heartbeat' as const),
    rest: fc.boolean(),
    commitIndex: u53,
    sentAtMs: instant,
    readRound: u53,
  }),
  record({
    ...envelope,
    kind: fc.constant('heartbeatResponse' as const),
    sentAtMs: instant,
    readRound: u53,
    rest: fc.boolean(),
  }),
  record({
    ...envelope,
    kind: fc.constantFrom('vote' as const, 'preVote' as const),
    lastIndex: u53,
    lastTerm: u53,
    transfer: fc.boolean(),
  }),
  record({
    ...envelope,
    kind: fc.constantFrom('voteResponse' as const, 'preVoteResponse' as const),
    reject: fc.boolean(),
    commitIndex: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    commitTerm: u53,
  }),
  record({ ...envelope, kind: fc.constant('timeoutNow' as const) }),
  record({
    ...envelope,
    kind: fc.constant('snapshot' as const),
    snapshot: record({ index: u53, term: u53, conf }),
  }),
);

test('every batch of messages comes back as it was sent', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), (batch) => {
      assert.deepEqual(decodeMessages(encodeMessages(batch), FROM, TO), batch);
    }),
  );
});

test('a frame that is cut anywhere is refused as a whole', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), fc.nat(), (batch, at) => {
      const frame = encodeMessages(batch);
      assert.throws(() => decodeMessages(frame.subarray(0, at % frame.length), FROM, TO), /frame/);
    }),
  );
});

test('arbitrary bytes are refused or decoded, and never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeMessages(Buffer.from(bytes), FROM, TO);
      } catch (error) {
        if (!(error instanceof MalformedFrameError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
});

test('payloads are views of the frame, not copies', () => {
  const entry = { term: 3, index: 8, kind: 0, payload: Buffer.from('payload') } as const;
  const frame = encodeMessages([
    {
      kind: 'append',
      groupId: groupId(1),
      from: FROM,
      to: TO,
      term: 3,
      prevIndex: 7,
      prevTerm: 3,
      entries: [entry],
      commitIndex: 7,
      sentAtMs: 1.5,
    },
  ]);
  const decoded = decodeMessages(frame, FROM, TO)[0];
  assert(decoded?.kind === 'append');
  assert.equal(decoded.entries[0]!.payload.buffer, frame.buffer);
});

/** One message of every kind, with fields that are easy to find in a hex dump. */
const GOLDEN: readonly Message[] = [
  {
    kind: 'append',
    groupId: groupId(0x01020304),
    from: FROM,
    to: TO,
    term: 0x1_0000_0002,
    prevIndex: 6,
    prevTerm: 5,
    commitIndex: 4,
    sentAtMs: 1234.5,
    entries: [
      { term: 5, index: 7, kind: 0, payload: Buffer.from('hello') },
      { term: 6, index: 8, kind: 1, payload: Buffer.alloc(0) },
    ],
  },
  {
    kind: 'appendResponse',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    index: 4,
    reject: true,
    hintIndex: 5,
    hintTerm: 6,
    sentAtMs: 0.25,
  },
  {
    kind: 'heartbeat',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    commitIndex: 4,
    sentAtMs: 8,
    readRound: 9,
    rest: true,
  },
  {
    kind: 'heartbeatResponse',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    sentAtMs: 8,
    readRound: 9,
    rest: false,
  },
  { kind: 'vote', groupId: groupId(2), from: FROM, to: TO, term: 3, lastIndex: 4, lastTerm: 5, transfer: true },
  { kind: 'preVote', groupId: groupId(2), from: FROM, to: TO, term: 3, lastIndex: 4, lastTerm: 5, transfer: false },
  {
    kind: 'voteResponse',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    reject: true,
    commitIndex: 4,
    commitTerm: 2,
  },
  {
    kind: 'preVoteResponse',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    reject: false,
    commitIndex: 0,
    commitTerm: 0,
  },
  { kind: 'timeoutNow', groupId: groupId(2), from: FROM, to: TO, term: 3 },
  {
    kind: 'snapshot',
    groupId: groupId(2),
    from: FROM,
    to: TO,
    term: 3,
    snapshot: {
      index: 4,
      term: 5,
      conf: {
        voters: [nodeId(1), nodeId(2)],
        votersOutgoing: [nodeId(3)],
        learners: [],
        learnersNext: [nodeId(4)],
        autoLeave: true,
      },
    },
  },
];

test('the bytes on the wire are the ones that were agreed on', () => {
  const golden = readFileSync(new URL('./golden/messages.hex', import.meta.url), 'utf8').replaceAll(/\s/g, '');
  assert.equal(encodeMessages(GOLDEN).toString('hex'), golden);
  assert.deepEqual(decodeMessages(Buffer.from(golden, 'hex'), FROM, TO), GOLDEN);
});

test('an unknown kind, another version and bytes left over are errors', () => {
  const frame = encodeMessages([GOLDEN[8]!]);
  const unknownKind = Buffer.from(frame);
  unknownKind[5] = 99;
  assert.throws(() => decodeMessages(unknownKind, FROM, TO), /unknown message kind 99/);
  const otherVersion = Buffer.from(frame);
  otherVersion[0] = 2;
  assert.throws(() => decodeMessages(otherVersion, FROM, TO), /frame version 2/);
  assert.throws(() => decodeMessages(Buffer.concat([frame, Buffer.alloc(1)]), FROM, TO), /after the last message/);
});
