"""Dead letters as the version of November 2026 wrote them, to the letter: by log id what the file holds."""

from __future__ import annotations

LETTERS = {
    "90020261126012100999000000000000000000000000000000000000": (
        '{"log_id": "90020261126012100999000000000000000000000000000000000000", "type": "fp", "date": "2026-1'
        '1-26T01:21:00.999Z", "route": "r", "answer": "422 Unprocessable Entity", "answer_body": "{\\"error\\":'
        ' \\"no such user: \\u00e9\\"}", "tries": 2, "at": "2026-11-26T01:21:01.006Z", "redaction": ""}\n'
        '{"date": "2026-11-26T01:21:00.999Z", "type": "fp", "description": "Wrong email or password.", "conne'
        'ction": "Username-Password-Authentication", "connection_id": "con_ZLs5gRmLyKpY6A4D", "client_id": "a'
        'aiBEsqSYMhkTTcVYqgQhHSXoTnaRFYT", "client_name": "Back office", "ip": "203.0.113.20", "user_agent": '
        '"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",'
        ' "details": {"prompts": [{"name": "prompt-authenticate", "completedAt": 1700000000000, "elapsedTime"'
        ': null}], "completedAt": 1700000000000, "elapsedTime": 2121, "session_id": "eb1167b367a9c3787c65c1e5'
        '82e2e662f728b4fa", "stats": {"loginsCount": 401}}, "hostname": "demo-tenant.eu.auth0.com", "user_id"'
        ': "auth0|f7c1bd874da5e709d4713d60", "user_name": "linus.0@example.com", "strategy": "auth0", "strate'
        'gy_type": "database", "log_id": "90020261126012100999000000000000000000000000000000000000", "_id": "'
        '90020261126012100999000000000000000000000000000000000000", "isMobile": false, "location_info": {"cou'
        'ntry_code": "NL", "city_name": "Utrecht", "latitude": 52.09, "longitude": 5.1}}'
    ),
    "90020261126012100999000000000000000000000000000000000001": (
        '{"log_id": "90020261126012100999000000000000000000000000000000000001", "type": "limit_wc", "date": "'
        '2026-11-26T01:21:00.999Z", "route": "r", "answer": "422 Unprocessable Entity", "answer_body": "{\\"er'
        'ror\\": \\"no such user: \\u00e9\\"}", "tries": 2, "at": "2026-11-26T01:21:01.322Z", "redaction": "ec6f8'
        '3745a7f"}\n'
        '{"date": "2026-11-26T01:21:00.999Z", "type": "limit_wc", "description": "", "connection": "Username-'
        'Password-Authentication", "connection_id": "con_ZLs5gRmLyKpY6A4D", "client_id": "aaiBEsqSYMhkTTcVYqg'
        'QhHSXoTnaRFYT", "client_name": "iPhone app", "ip": "***", "user_agent": "***", "details": {"prompts"'
        ': [{"name": "prompt-authenticate", "completedAt": 1700000000001, "elapsedTime": null}], "completedAt'
        '": 1700000000001, "elapsedTime": 2089, "session_id": "***", "stats": {"loginsCount": 333}}, "hostnam'
        'e": "demo-tenant.eu.auth0.com", "user_id": "***", "user_name": "***", "strategy": "auth0", "strategy'
        '_type": "database", "log_id": "90020261126012100999000000000000000000000000000000000001", "_id": "90'
        '020261126012100999000000000000000000000000000000000001", "isMobile": true, "location_info": {"countr'
        'y_code": "NL", "city_name": "***", "latitude": "***", "longitude": "***"}}'
    ),
}
