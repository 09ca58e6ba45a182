//! What an ESP32-C3 needs before `main`.

/// Registers of the watchdogs and what stops them (ESP32-C3 technical reference manual, 12): the key
/// for the write protection, the configuration. ESP-IDF's boot loader starts them, and they would
/// restart the chip after some seconds.
const WATCHDOGS: [(usize, u32, usize, u32); 4] = [
    // RTC: RTC_CNTL_WDTWPROTECT, RTC_CNTL_WDTCONFIG0.
    (0x6000_80A8, 0x50D8_3AA1, 0x6000_8090, 0),
    // Super: RTC_CNTL_SWD_WPROTECT, RTC_CNTL_SWD_CONF with SWD_AUTO_FEED_EN.
    (0x6000_80B0, 0x8F1D_312A, 0x6000_80AC, 1 << 31),
    // Timer group 0: TIMG_WDTWPROTECT, TIMG_WDTCONFIG0.
    (0x6001_F064, 0x50D8_3AA1, 0x6001_F048, 0),
    // Timer group 1.
    (0x6002_0064, 0x50D8_3AA1, 0x6002_0048, 0),
];

/// Stops the watchdogs.
#[riscv_rt::post_init]
unsafe fn stop_watchdogs() {
    for (protection, key, register, value) in WATCHDOGS {
        // SAFETY: registers of this chip, which nothing else uses yet.
        unsafe {
            (protection as *mut u32).write_volatile(key);
            (register as *mut u32).write_volatile(value);
        }
    }
}

/// What ESP-IDF's boot loader and the tools that write images look for (`esp_app_desc_t`).
#[unsafe(export_name = "esp_app_desc")]
#[unsafe(link_section = ".flash.appdesc")]
#[used]
static APPLICATION: [u8; 256] = {
    let mut bytes = [0; 256];
    put(&mut bytes, 0, &0xABCD_5432_u32.to_le_bytes());
    put(&mut bytes, 16, env!("CARGO_PKG_VERSION").as_bytes());
    put(&mut bytes, 48, b"systole");
    // Any revision of the chip; pages of 2^16 bytes.
    put(&mut bytes, 178, &u16::MAX.to_le_bytes());
    put(&mut bytes, 180, &[16]);
    bytes
};

const fn put(to: &mut [u8; 256], at: usize, from: &[u8]) {
    let mut i = 0;
    while i < from.len() {
        to[at + i] = from[i];
        i += 1;
    }
}
