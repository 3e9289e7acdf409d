import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keyEventsChecker, subscribersChecker } from '../../jepsen/checkers/subscribers.ts';
import type { Op } from '../../jepsen/history.ts';

type Event = readonly [second: number, process: number | 'nemesis', type: Op['type'], f: string, value?: unknown];

const history = (...events: readonly Event[]): Op[] =>
  events
    .toSorted(([left], [right]) => left - right)
    .map(([second, process, type, f, value = null], index) => ({ index, time: second * 1e9, process, type, f, value }));

/** A listener asks at these seconds and is told this; it begins with the first. */
const listener = (process: number, ...asked: readonly (readonly [second: number, ...messages: number[]])[]): Event[] =>
  asked.flatMap(([second, ...messages], nth): Event[] => [
    [second, process, 'invoke', 'hear', false],
    [second + 0.001, process, 'ok', 'hear', { begins: nth === 0, messages }],
  ]);

const publish = (process: number, second: number, number: number, type: Op['type'] = 'ok'): Event[] => [
  [second, process, 'invoke', 'publish', number],
  [second + 0.001, process, type, 'publish', number],
];

const check = (...events: readonly (readonly Event[])[]) => subscribersChecker.check(history(...events.flat()));

describe('listeners to events of keys', () => {
  const both = (type: Op['type']): Event[] => [
    [2, 1, 'invoke', 'both', [10, 11]],
    [2.001, 1, type, 'both', [10, 11]],
  ];
  const verdictOf = (...events: readonly (readonly Event[])[]) =>
    keyEventsChecker.check(history(...events.flat())).problems;

  test('hear each event of a write once, in any order', () => {
    assert.deepEqual(verdictOf(listener(0, [1], [9, 11, 10]), both('ok')), []);
    assert.deepEqual(verdictOf(listener(0, [1], [9]), both('info')), [], 'nobody knows whether it happened');
    assert.deepEqual(verdictOf(listener(0, [1], [9, 10]), both('ok')), ['process 0 listened and did not get 11']);
    assert.deepEqual(verdictOf(listener(0, [1], [9, 10, 11, 10]), both('ok')), ['process 0 got 10 twice']);
  });

  test('hear none of a write that was refused', () => {
    assert.deepEqual(verdictOf(listener(0, [1], [9, 10]), both('fail')), ['process 0 got 10, which was refused']);
  });
});

describe('listeners', () => {
  test('are right to have heard everything once and in order, whoever else publishes', () => {
    const verdict = check(
      publish(1, 0.5, 0),
      listener(0, [1], [3, 10, 20, 11], [9, 12]),
      publish(1, 2, 10),
      publish(2, 2.1, 20),
      publish(1, 2.2, 11),
      publish(1, 4, 12),
      publish(1, 8.5, 13),
    );
    assert.deepEqual(verdict.problems, []);
    assert.deepEqual(verdict.facts, { messages: 6, delivered: 4, due: 4, stretches: 1 });
  });

  test('need not have heard what nobody knows to be sent', () => {
    assert.equal(check(listener(0, [1], [9]), publish(1, 2, 10, 'info')).valid, true);
  });

  const wrong: Readonly<Record<string, readonly (readonly Event[])[]>> = {
    'did not get 10': [listener(0, [1], [9]), publish(1, 2, 10)],
    'got 10 twice': [listener(0, [1], [3, 10], [9, 10]), publish(1, 2, 10)],
    'got 99, which nobody has published': [listener(0, [1], [9, 99])],
    'got 10 after 11': [listener(0, [1], [9, 11, 10]), publish(1, 2, 10), publish(1, 3, 11)],
  };
  for (const [problem, events] of Object.entries(wrong))
    test(`are told when one ${problem}`, () => {
      const { valid, problems } = check(...events);
      assert.equal(valid, false);
      assert.ok(problems[0]!.includes(problem), problems[0]);
    });

  test('are excused while nodes are cut off from each other, and not by a slow network or a node that was killed long ago', () => {
    const fault = (name: string): Event[] => [
      [3, 'nemesis', 'invoke', name],
      [3, 'nemesis', 'info', name],
      [5, 'nemesis', 'invoke', `heal-${name}`],
      [5, 'nemesis', 'info', `heal-${name}`],
    ];
    const missed = (name: string, second: number) =>
      check(listener(0, [1], [30]), fault(name), publish(1, second, 10)).valid;
    assert.equal(missed('partition-halves', 4), true);
    assert.equal(missed('partition-halves', 10), true, 'they meet again');
    assert.equal(missed('partition-halves', 20), false);
    assert.equal(missed('network-slow', 4), false);
    assert.equal(missed('kill-leader', 2.9), true);
    assert.equal(missed('kill-leader', 4), false);
  });
});
