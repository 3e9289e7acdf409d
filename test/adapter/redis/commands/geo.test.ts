import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hashOf, positionAt, scoreAt, WORLD } from '../../../../src/adapter/redis/commands/geo/cells.ts';
import {
  roundedArcSine,
  roundedCosine,
  roundedSine,
} from '../../../../src/adapter/redis/commands/geo/rounded-trigonometry.ts';
import { metersWithin, type SearchArea } from '../../../../src/adapter/redis/commands/geo/search-area.ts';
import { Evaluator } from './evaluate.ts';

const BITS = 200n;
const ONE = 1n << BITS;

/** A double as an integer of 2^-200. */
function fixed(value: number): bigint {
  const scaled = value * 2 ** 120;
  assert.ok(Number.isInteger(scaled));
  return BigInt(scaled) << (BITS - 120n);
}

/** The nearest double. */
const rounded = (value: bigint): number => Number(value) * 2 ** -Number(BITS);

/** Sine and cosine by their series, with far more digits than a double. */
function series(angle: bigint): { sine: bigint; cosine: bigint } {
  const sums = [ONE, 0n];
  let term = ONE;
  for (let nth = 1n; term !== 0n && nth < 200n; nth++) {
    term = (term * angle) / ONE / nth;
    sums[Number(nth % 2n)]! += nth % 4n < 2n ? term : -term;
  }
  return { sine: sums[1]!, cosine: sums[0]! };
}

function arcSine(sine: bigint): bigint {
  let angle = fixed(Math.asin(rounded(sine)));
  for (let round = 0; round < 3; round++) {
    const at = series(angle);
    angle += ((sine - at.sine) * ONE) / at.cosine;
  }
  return angle;
}

describe('sines', () => {
  const angle = fc.double({ min: 2 ** -30, max: Math.PI, noNaN: true });

  test('are the nearest doubles', () => {
    fc.assert(
      fc.property(angle, (value) => {
        const { sine } = series(fixed(value));
        assert.equal(roundedSine(value), rounded(sine));
        assert.equal(roundedSine(-value), -rounded(sine));
      }),
      { numRuns: 2_000 },
    );
  });

  test('and so are cosines of latitudes', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -30, max: 1.5, noNaN: true }), (value) => {
        const { cosine } = series(fixed(value));
        assert.equal(roundedCosine(value), rounded(cosine));
        assert.equal(roundedCosine(-value), rounded(cosine));
      }),
      { numRuns: 2_000 },
    );
  });

  test('have the nearest doubles as their angles', () => {
    fc.assert(
      fc.property(fc.double({ min: 2 ** -30, max: 0.999_999, noNaN: true }), (value) => {
        assert.equal(roundedArcSine(value), rounded(arcSine(fixed(value))));
      }),
      { numRuns: 1_000 },
    );
    assert.equal(roundedArcSine(0), 0);
    assert.equal(roundedArcSine(1), Math.PI / 2);
  });
});

// At the very ends of the map scores have more bits than a double.
const longitude = fc.double({ min: WORLD.west, max: WORLD.east - 0.001, noNaN: true });
const latitude = fc.double({ min: WORLD.south, max: WORLD.north - 0.001, noNaN: true });
const position = fc.record({ longitude, latitude });

describe('scores of positions', () => {
  test('are those of Redis', () => {
    // GEOADD and ZSCORE of redis-server 7.0.15.
    for (const [longitude, latitude, score, hash] of [
      [13.361389, 38.115556, 3479099956230698, 'sqc8b49rny0'],
      [15.087269, 37.502669, 3479447370796909, 'sqdtr74hyu0'],
      [-180, -85.05112878, 0, '00bh0hbj200'],
      [180, 85.05112878, 13510798882111488, 'bp05b5048p0'],
    ] as const) {
      assert.equal(scoreAt({ longitude, latitude }), score);
      assert.equal(hashOf(positionAt(score)), hash);
    }
  });

  test('lead back to a position within half a cell', () => {
    fc.assert(
      fc.property(position, ({ longitude, latitude }) => {
        const back = positionAt(scoreAt({ longitude, latitude }));
        assert.ok(Math.abs(back.longitude - longitude) <= 360 / 2 ** 26);
        assert.ok(Math.abs(back.latitude - latitude) <= 180 / 2 ** 26);
      }),
    );
  });
});

describe('searches', () => {
  test('find all members inside, and no others', () => {
    // Redis' cells leave members out near the poles, at the date line and where the area is a continent.
    const near = fc.record({
      longitude: fc.double({ min: -20, max: 20, noNaN: true }),
      latitude: fc.double({ min: -20, max: 20, noNaN: true }),
    });
    const length = fc.double({ min: 0, max: 1_500_000, noNaN: true });
    fc.assert(
      fc.property(fc.array(near, { minLength: 1, maxLength: 40 }), near, length, length, (places, middle, a, b) => {
        const keys = new Evaluator();
        const members = places.flatMap((place, nth) => [String(place.longitude), String(place.latitude), `m${nth}`]);
        keys.run('GEOADD', 'k', ...members);
        const circle: SearchArea = { middle, shape: 'circle', radius: a };
        const box: SearchArea = { middle, shape: 'box', width: a, height: b };
        const from = ['FROMLONLAT', String(middle.longitude), String(middle.latitude)];
        for (const [area, ...shape] of [
          [circle, 'BYRADIUS', String(a), 'm'],
          [box, 'BYBOX', String(a), String(b), 'm'],
        ] as const) {
          const found = (keys.run('GEOSEARCH', 'k', ...from, ...shape) as Buffer[]).map(String).sort();
          const inside = places.flatMap((place, nth) =>
            metersWithin(area, positionAt(scoreAt(place))) === undefined ? [] : [`m${nth}`],
          );
          assert.deepEqual(found, inside.sort());
        }
      }),
      { numRuns: 200 },
    );
  });
});
