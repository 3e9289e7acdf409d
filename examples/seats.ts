/**
 * A room with twenty seats and a crowd that books them at once: each transaction counts the bookings, and adds one when there is a seat
 * left. What it counted must still be so when it commits, bookings included that were not there when it looked, so nobody
 * ever sits on the twenty-first. Start a cluster with `npm start` and run this file with Node.
 *
 *   node examples/seats.ts [host:port,host:port,..]
 *
 * A program that has installed the package imports from 'kvorum' instead.
 */
import { KvorumClient, KvorumClientError } from '../src/client/index.ts';

const SEATS = 20;
const PEOPLE = 60;
const DESKS = 8;

const [endpoints = '127.0.0.1:50051,127.0.0.1:50052,127.0.0.1:50053'] = process.argv.slice(2);
const client = new KvorumClient({ endpoints: endpoints.split(',') });
const counts = { booked: 0, turnedAway: 0, failed: 0 };
let next = 0;

/** @returns false when the room is full */
const book = (person: string): Promise<boolean> =>
  client.transaction(async (t) => {
    let taken = 0;
    for await (const _booking of t.scan({ prefix: 'seats/' })) taken++;
    if (taken >= SEATS) return false;
    await t.put(`seats/${person}`, 'booked');
    return true;
  });

async function desk(): Promise<void> {
  while (next < PEOPLE) {
    const person = String(next++).padStart(3, '0');
    try {
      if (await book(person)) counts.booked++;
      else counts.turnedAway++;
    } catch (error) {
      if (!(error instanceof KvorumClientError)) throw error;
      counts.failed++;
    }
  }
}

await client.deleteRange({ prefix: 'seats/' });
await Promise.all(Array.from({ length: DESKS }, desk));
let taken = 0;
for await (const _booking of client.scan({ prefix: 'seats/' })) taken++;
console.log(`${JSON.stringify(counts)}; ${taken} of ${SEATS} seats are taken`);
await client.close();
process.exit(taken > SEATS ? 1 : 0);
