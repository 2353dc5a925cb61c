//! Breaking things by the schedule, and mending them.

use super::{Event, World};
use crate::clock::SimTime;
use crate::disk::DiskFaults;
use crate::faults::{Death, Fault};

impl World {
    pub(super) fn begin_fault(&mut self, index: usize) {
        let now = self.queue.now();
        let (_, fault) = self.options.faults[index];
        self.trace.event(now, "fault", index as u64);
        self.trace.tell(now, "fault", || format!("{fault:?}"));
        let broker = self.fault_rng.index(self.brokers.len());
        if !matches!(fault, Fault::Death { .. }) {
            self.outcome.fault(fault.class());
        }
        match fault {
            Fault::Death { death, down, again } => {
                self.brokers[broker].down = down;
                // Nobody stops a broker softly while it starts; but it may be killed, or lose power, at any moment.
                let again_by = if death == Death::Stop { Death::Kill } else { death };
                self.brokers[broker].dies_again = (again, Some(again_by));
                self.die(broker, death);
            }
            Fault::Stall(lasting) => {
                self.brokers[broker].stalled_until = now + lasting;
                self.put_off(broker);
            }
            Fault::DiskErrors(error_per_mille, lasting) => {
                let faults = DiskFaults { error_per_mille, ..self.brokers[broker].disk_faults };
                self.brokers[broker].set_disk_faults(faults);
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::SyncErrors(sync_error_per_mille, lasting) => {
                let faults = DiskFaults { sync_error_per_mille, ..self.brokers[broker].disk_faults };
                self.brokers[broker].set_disk_faults(faults);
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::DiskFull(room, lasting) => {
                let faults = DiskFaults { room: Some(room), ..self.brokers[broker].disk_faults };
                self.brokers[broker].set_disk_faults(faults);
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::DiskRefusals(full_per_mille, lasting) => {
                let faults = DiskFaults { full_per_mille, ..self.brokers[broker].disk_faults };
                self.brokers[broker].set_disk_faults(faults);
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::SlowSync(times, lasting) => {
                self.brokers[broker].sync_slowness = times;
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::SlowNetwork(times, lasting) => {
                self.network.slowness = times;
                self.queue.schedule(now + lasting, Event::FaultEnds { index });
            }
            Fault::Resets => self.network.of_broker(broker).into_iter().for_each(|id| self.reset(id)),
            Fault::ClockStep(by) => self.brokers[broker].clock.wall_offset_ms += by,
        }
    }

    /// Ends a fault that lasts, on every machine: which one it struck does not matter then.
    pub(super) fn end_fault(&mut self, index: usize) {
        let (_, fault) = self.options.faults[index];
        self.trace.event(self.queue.now(), "mended", index as u64);
        self.trace.tell(self.queue.now(), "fault", || format!("ends: {:?}", fault.class()));
        match fault {
            Fault::DiskErrors(..) | Fault::SyncErrors(..) | Fault::DiskFull(..) | Fault::DiskRefusals(..) => {
                self.mend_disks();
            }
            Fault::SlowSync(..) => self.brokers.iter_mut().for_each(|broker| broker.sync_slowness = 1),
            Fault::SlowNetwork(..) => self.network.slowness = 1,
            Fault::Death { .. } | Fault::Stall(_) | Fault::Resets | Fault::ClockStep(_) => {}
        }
    }

    /// Nothing is broken from now on.
    pub(super) fn mend_everything(&mut self) {
        self.mend_disks();
        self.network.slowness = 1;
        for broker in &mut self.brokers {
            broker.sync_slowness = 1;
            broker.dies_again = (0, None);
            broker.stalled_until = SimTime::default();
        }
        for index in 0..self.brokers.len() {
            if self.brokers[index].process.is_none() {
                self.queue.schedule(self.queue.now(), Event::Start { broker: index });
            }
        }
    }

    fn mend_disks(&mut self) {
        self.brokers.iter_mut().for_each(|broker| broker.set_disk_faults(DiskFaults::default()));
    }
}
