// sqs-consumer with a handler that does what the worker does at the least:
// insert a claim, send, update. The library deletes: a batch in one call with
// BATCH, which is its best; else each message with a call of its own, which is
// what its handleMessage does.
import { Agent, request } from 'node:http';
import { SQSClient, GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';
import pg from 'pg';

const { QUEUE_URL, PROVIDER_URL, PG_HOST, PG_SCHEMA, BATCH } = process.env;
const sqs = new SQSClient({});
const pool = new pg.Pool({ host: PG_HOST, user: 'test', database: 'postgres', max: 10 });
await pool.query(`CREATE SCHEMA ${PG_SCHEMA}; CREATE TABLE ${PG_SCHEMA}.events
  (id text PRIMARY KEY, status text NOT NULL, to_address text, provider_id text, updated_at timestamptz NOT NULL DEFAULT now())`);
const agent = new Agent({ keepAlive: true, maxSockets: 100 });

function send(to, body) {
  return new Promise((resolve, reject) => {
    const form = new URLSearchParams({ To: to, From: '+15005550006', Body: body }).toString();
    const call = request(PROVIDER_URL, { method: 'POST', agent, headers: { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(form) } }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => (answer.statusCode === 201 ? resolve(JSON.parse(text).sid) : reject(new Error(`HTTP ${answer.statusCode}`))));
    });
    call.on('error', reject);
    call.end(form);
  });
}

async function handle(message) {
  const m = JSON.parse(message.Body);
  const claimed = await pool.query(`INSERT INTO ${PG_SCHEMA}.events (id, status, to_address) VALUES ($1, 'processing', $2) ON CONFLICT DO NOTHING`, [m.id, m.to]);
  if (claimed.rowCount === 0) return;
  const sid = await send(m.to, m.body);
  await pool.query(`UPDATE ${PG_SCHEMA}.events SET status = 'sent', provider_id = $2, updated_at = now() WHERE id = $1`, [m.id, sid]);
}

const consumer = Consumer.create({
  queueUrl: QUEUE_URL, sqs, batchSize: 10, waitTimeSeconds: 1,
  ...(BATCH
    ? { handleMessageBatch: async (messages) => { await Promise.all(messages.map(handle)); return messages; } }
    : { handleMessage: async (message) => { await handle(message); return message; } }),
});
consumer.on('error', (err) => { console.error(err); process.exit(1); });
consumer.on('processing_error', (err) => { console.error(err); process.exit(1); });
let ending = false;
consumer.on('empty', async () => {
  if (ending) return;
  const { Attributes: a } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: QUEUE_URL, AttributeNames: ['All'] }));
  if (Number(a.ApproximateNumberOfMessages) + Number(a.ApproximateNumberOfMessagesNotVisible) === 0) {
    ending = true;
    consumer.stop();
    await pool.end();
    agent.destroy();
  }
});
consumer.start();
