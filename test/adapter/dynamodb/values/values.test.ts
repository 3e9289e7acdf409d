import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  type AttributeValue,
  areEqual,
  areEqualItems,
  differenceOf,
  hasMember,
  indexWriteUnits,
  isNestedTooDeep,
  itemSize,
  orderedSet,
  readItem,
  readUnits,
  readValue,
  type SetValue,
  unionOf,
  valueSize,
  type WireAttributeValue,
  wireItem,
  wireValue,
  writeUnits,
} from '../../../../src/adapter/dynamodb/values/index.ts';
import { anyWire } from './wires.ts';

const refusal = (wire: WireAttributeValue): string => {
  try {
    readValue(wire);
    return 'accepted';
  } catch (error) {
    return (error as Error).message;
  }
};

const nested = (levels: number): WireAttributeValue => {
  let value: WireAttributeValue = { S: 'x' };
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? { L: [value] } : { M: { a: value } };
  return value;
};

const PREFIX = 'One or more parameter values were invalid: ';

describe('an attribute value', () => {
  test('goes from JSON into memory and back', () => {
    fc.assert(
      fc.property(anyWire, (wire) => {
        const value = readValue(wire);
        assert.ok(areEqual(readValue(wireValue(value)), value));
        assert.deepEqual(
          JSON.parse(JSON.stringify(wireValue(value))),
          JSON.parse(JSON.stringify(wireValue(readValue(wireValue(value))))),
        );
      }),
    );
    const item = readItem(
      JSON.parse(
        '{"__proto__": {"S": "a"}, "constructor": {"N": "1.0"}, "": {"M": {}}}'.replace(
          '"": {"M": {}}',
          '"m": {"M": {"": {"S": ""}}}',
        ),
      ),
    );
    assert.deepEqual([...item.keys()], ['__proto__', 'constructor', 'm']);
    assert.equal(
      JSON.stringify(wireItem(item)),
      '{"__proto__":{"S":"a"},"constructor":{"N":"1"},"m":{"M":{"":{"S":""}}}}',
    );
  });

  test('of several types or none is refused, and so is what is wrong with its contents', () => {
    const one = 'must contain exactly one of the supported datatypes';
    const cases: readonly (readonly [WireAttributeValue, string])[] = [
      [{}, `Supplied AttributeValue is empty, ${one}`],
      [{ L: [{}] }, `Supplied AttributeValue is empty, ${one}`],
      [{ S: 'a', N: '1' }, `Supplied AttributeValue has more than one datatypes set, ${one}`],
      [{ N: 'x', S: 'a' }, `Supplied AttributeValue has more than one datatypes set, ${one}`],
      [{ N: 'x' }, 'The parameter cannot be converted to a numeric value: x'],
      [{ NULL: false }, `${PREFIX}Null attribute value types must have the value of true`],
      [{ SS: [] }, `${PREFIX}An string set  may not be empty`],
      [{ NS: [] }, `${PREFIX}An number set  may not be empty`],
      [{ M: { a: { BS: [] } } }, `${PREFIX}Binary sets should not be empty`],
      [{ SS: ['a', 'b', 'a'] }, `${PREFIX}Input collection [a, b, a] contains duplicates.`],
      [{ NS: ['1', '1.0'] }, 'Input collection contains duplicates'],
      [{ BS: ['AA==', 'AA=='] }, `${PREFIX}Input collection [AA==, AA==]of type BS contains duplicates.`],
      [{ S: '\ud800' }, `${PREFIX}Strings must be well-formed Unicode`],
      [{ S: '' }, 'accepted'],
      [{ B: '' }, 'accepted'],
      [nested(32), 'accepted'],
      [
        nested(33),
        'Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit',
      ],
    ];
    for (const [wire, text] of cases) assert.equal(refusal(wire), text, JSON.stringify(wire));
    assert.throws(() => readItem({ '': { S: 'a' } }), /Empty attribute name/);
    assert.throws(() => readItem({ ['x'.repeat(65_536)]: { S: 'a' } }), /Attribute name is too large/);
  });

  test('is equal by value: sets in any order, numbers in any writing, lists in theirs', () => {
    const equal = (a: WireAttributeValue, b: WireAttributeValue): boolean => areEqual(readValue(a), readValue(b));
    assert.ok(equal({ N: '1.0' }, { N: '1e0' }));
    assert.ok(equal({ SS: ['b', 'a'] }, { SS: ['a', 'b'] }));
    assert.ok(equal({ NS: ['10', '9'] }, { NS: ['9.0', '1e1'] }));
    assert.ok(equal({ M: { a: { N: '1' }, b: { S: '' } } }, { M: { b: { S: '' }, a: { N: '1.0' } } }));
    assert.ok(!equal({ L: [{ N: '1' }, { N: '2' }] }, { L: [{ N: '2' }, { N: '1' }] }));
    assert.ok(!equal({ S: '1' }, { N: '1' }));
    assert.ok(!equal({ SS: ['1'] }, { NS: ['1'] }));
    assert.ok(!areEqualItems(readItem({ a: { S: '' } }), readItem({ b: { S: '' } })));
  });

  test('nested beyond the limit is found in memory too', () => {
    const wrapped: AttributeValue = { type: 'L', value: [readValue(nested(32))] };
    assert.ok(!isNestedTooDeep(readValue(nested(32))));
    assert.ok(isNestedTooDeep(wrapped));
  });
});

describe('a set', () => {
  const sets = fc
    .uniqueArray(fc.integer({ min: -20, max: 20 }), { minLength: 1 })
    .map((numbers) => orderedSet('NS', numbers.map(String))!);

  test('is united, subtracted and searched like a set', () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const left = new Set<unknown>(a.value);
        const right = new Set<unknown>(b.value);
        const same = (found: SetValue | undefined, expected: Set<unknown>): void => {
          assert.equal(found?.value.length ?? 0, expected.size);
          for (const member of found?.value ?? []) assert.ok(expected.has(member));
        };
        same(unionOf(a, b), new Set([...left, ...right]));
        same(differenceOf(a, b), new Set([...left].filter((member) => !right.has(member))));
        assert.equal(differenceOf(a, a), undefined);
        for (const member of b.value) assert.equal(hasMember(a, member), left.has(member));
      }),
    );
  });

  test('has its members in the order of their values', () => {
    assert.deepEqual(orderedSet('NS', ['10', '9', '-1'])!.value, ['-1', '9', '10']);
    assert.deepEqual(orderedSet('SS', ['😀', '\uffff'])!.value, ['\uffff', '😀']);
    assert.equal(orderedSet('BS', [Buffer.of(1), Buffer.of(1)]), undefined);
  });
});

describe('the size of an item', () => {
  const size = (wire: WireAttributeValue): number => valueSize(readValue(wire));

  test('follows the rules of the service', () => {
    const cases: readonly (readonly [WireAttributeValue, number])[] = [
      [{ S: 'é😀' }, 6],
      [{ B: 'AAAA' }, 3],
      [{ BOOL: true }, 1],
      [{ NULL: true }, 1],
      [{ N: '0' }, 1],
      [{ N: '1' }, 2],
      [{ N: '-1' }, 3],
      [{ N: '123' }, 3],
      [{ N: '1e100' }, 2],
      [{ N: '0.001' }, 2],
      [{ N: '1'.repeat(38) }, 20],
      [{ L: [] }, 3],
      [{ M: {} }, 3],
      [{ L: [{ S: 'ab' }, { BOOL: true }] }, 3 + 2 + 3],
      [{ M: { abc: { N: '1' } } }, 3 + 1 + 3 + 2],
      [{ SS: ['a', 'bc'] }, 3],
      [{ NS: ['1', '22'] }, 4],
      [{ BS: ['AA==', 'AAAA'] }, 4],
    ];
    for (const [wire, bytes] of cases) assert.equal(size(wire), bytes, JSON.stringify(wire));
    assert.equal(itemSize(readItem({ é: { S: 'a' }, b: { N: '1' } })), 2 + 1 + 1 + 2);
  });

  test('says what reads and writes cost', () => {
    assert.deepEqual(
      [0, 1, 4096, 4097].map((bytes) => readUnits(bytes, 'consistent')),
      [1, 1, 1, 2],
    );
    assert.equal(readUnits(4097, 'eventual'), 1);
    assert.equal(readUnits(0, 'eventual'), 0.5);
    assert.equal(readUnits(1, 'transactional'), 2);
    assert.deepEqual(
      [0, 1024, 1025].map((bytes) => writeUnits(bytes, false)),
      [1, 1, 2],
    );
    assert.equal(writeUnits(1025, true), 4);
    assert.equal(indexWriteUnits(100, 100, 'none', false), 0);
    assert.equal(indexWriteUnits(100, 2000, 'projected', false), 2);
    assert.equal(indexWriteUnits(2000, 100, 'key', false), 3);
    assert.equal(indexWriteUnits(undefined, 100, 'key', true), 2);
    assert.equal(indexWriteUnits(100, undefined, 'key', false), 1);
  });
});
